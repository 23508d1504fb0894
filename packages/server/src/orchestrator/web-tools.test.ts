import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { createAddressGuard, createGuardedFetch } from "@sandbox0/egress";
import type { EventParams } from "@sandbox0/protocol";
import { until } from "@sandbox0/testkit";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { newEvent } from "../domain/lifecycle-events.ts";
import { writeSession } from "../store/append.ts";
import { createExtractor } from "../web/extractor.ts";
import { PAGE_BYTES_MAX } from "../web/get-page.ts";
import { createSearxngSearch } from "../web/search/searxng.ts";
import { createWebTools, type WebTools } from "../web/web-tools.ts";
import { createStage, interrupt, type PlayedTurn, type Stage, type StageNode, say } from "./stage.fixture.ts";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** What each path answers; requests that came, as `host path`. */
const pages = new Map<string, Handler>();
let came: string[] = [];
const server = createServer((request, response) => {
  came.push(`${request.headers.host?.split(":")[0]} ${request.url}`);
  const page = pages.get((request.url ?? "").split("?")[0] ?? "");
  if (page) page(request, response);
  else response.writeHead(404).end();
});
/** A port that stays shut whatever private addresses are opened: one of our own. */
const own = createServer((_, response) => response.end("the server itself"));
const names: Record<string, string> = {
  "pages.example": "127.0.0.1",
  "docs.pages.example": "127.0.0.1",
  "other.example": "127.0.0.1",
  "private.example": "10.0.0.5",
  "metadata.example": "169.254.169.254",
};
const resolve = async (name: string) => {
  const address = names[name];
  if (address === undefined) throw Object.assign(new Error("no such name"), { code: "ENOTFOUND" });
  return [{ address, family: 4 as const }];
};

let stage: Stage;
let node: StageNode;
let web: WebTools;
let guarded: ReturnType<typeof createGuardedFetch>;
let port = 0;
let ownPort = 0;

beforeAll(async () => {
  await Promise.all([server, own].map((each) => once(each.listen(0, "127.0.0.1"), "listening")));
  [port = 0, ownPort = 0] = [server, own].map((each) => (each.address() as AddressInfo).port);
  stage = await createStage();
  const forbidden = () => [{ address: "127.0.0.1", port: ownPort }];
  guarded = createGuardedFetch(createAddressGuard({ allowPrivate: ["127.0.0.1"], forbidden, resolve }));
  web = createWebTools({
    db: stage.db,
    fetch: guarded.fetch,
    extractor: createExtractor(),
    search: createSearxngSearch({ baseUrl: `http://127.0.0.1:${port}/searx`, fetch }),
    blockedHosts: ["*.blocked.example"],
  });
  node = stage.node({ web });
});
beforeEach(() => {
  came = [];
  html("/", "<title>Home</title><p>Welcome. <a href='/next'>next</a></p>");
});
afterAll(async () => {
  await stage.close();
  await web.close();
  await guarded.close();
  for (const each of [server, own]) {
    each.closeAllConnections();
    each.close();
  }
});

function html(path: string, body: string, headers: Record<string, string> = {}): void {
  pages.set(path, (_, response) => response.writeHead(200, { "content-type": "text/html", ...headers }).end(body));
}
const at = (path: string, host = "pages.example") => `http://${host}:${port}${path}`;
const toolset = (...configs: object[]) => ({
  type: "agent_toolset_20260401",
  default_config: { enabled: true, permission_policy: { type: "always_allow" } },
  configs: configs.map((config) => ({ enabled: true, permission_policy: { type: "always_allow" }, ...config })),
});
const CUSTOM = { type: "custom", name: "ask", description: "d", input_schema: { type: "object" } };

interface Answer {
  text: string;
  isError: boolean;
}
interface Call {
  name: string;
  input: Record<string, unknown>;
}
const get = (url: string): Call => ({ name: "web_fetch", input: { url } });
const find = (query: string): Call => ({ name: "web_search", input: { query } });

/** One turn whose model makes these calls one after the other. */
async function play(turn: PlayedTurn, calls: readonly Call[]): Promise<Answer[]> {
  const { effects } = turn;
  const answers: Answer[] = [];
  const usage = { input_tokens: 1, output_tokens: 1, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 };
  const common = { usage, timing: { firstTokenMs: 1, totalMs: 1 } };
  for (const call of calls) {
    const id = effects.newEventId();
    const { spanId } = await effects.startStep();
    await effects.finishStep(spanId, { calls: [{ id, ...call }], ...common });
    const { content, isError } = await effects.executeTool(id);
    answers.push({ text: content.map((block) => ("text" in block ? block.text : JSON.stringify(block))).join("\n"), isError });
  }
  const { spanId } = await effects.startStep();
  const message = { id: effects.newEventId(), content: [{ type: "text" as const, text: "done" }] };
  await effects.finishStep(spanId, { message, calls: [], ...common });
  turn.end({ type: "idle", stopReason: "end_turn" });
  return answers;
}

/** A session whose user says `text`, and what the calls of its first turn gave. */
async function ask(text: string | EventParams, calls: readonly Call[], tools: object[] = [toolset()]): Promise<Answer[]> {
  const sessionId = await stage.newSession({ tools });
  await stage.send(sessionId, typeof text === "string" ? say(text) : text);
  const answers = await play(await node.nextTurn(), calls);
  await until(async () => (await stage.status(sessionId)) === "idle");
  expect(node.bugs).toEqual([]);
  return answers;
}
/** Fetches what the user has named. */
const fetchUrl = async (url: string, tools?: object[]): Promise<Answer> =>
  (await ask(`Read ${url} please.`, [get(url)], tools))[0] as Answer;
const refused = (code: string) => ({ isError: true, text: expect.stringMatching(new RegExp(`^${code}: `)) });

async function withNetworking<T>(networking: object, work: () => Promise<T>): Promise<T> {
  const set = (config: object) => stage.db.query("update environments set config = $1", [JSON.stringify(config)]);
  await set({ type: "cloud", networking });
  try {
    return await work();
  } finally {
    await set({ type: "cloud", networking: { type: "unrestricted" } });
  }
}
const limited = (...allowed_hosts: string[]) => ({
  type: "limited",
  allowed_hosts,
  allow_mcp_servers: true,
  allow_package_managers: true,
});

test("a page is given as text with where it is; no sandbox is asked", async () => {
  expect(await fetchUrl(at("/"))).toEqual({
    isError: false,
    text: `URL: ${at("/")}\nTitle: Home\n\nWelcome. next <${at("/next")}>`,
  });
  expect(came).toEqual(["pages.example /"]);
});

test.each([
  ["JSON", "application/json", '{"a": 1}', '{"a": 1}'],
  ["text in another charset", "text/plain; charset=iso-8859-1", Buffer.from([0x63, 0x61, 0x66, 0xe9]), "café"],
  ["a page that names its charset", "text/html", Buffer.from('<meta charset="latin1"><p>caf\xe9</p>', "latin1"), "café"],
  ["a charset nobody knows", "text/plain; charset=x-none", "plain", "plain"],
  ["no type", "", "just words", "just words"],
  ["a page without text", "text/html", "<p></p>", "(the page has no text)"],
] as const)("%s", async (_, type, body, text) => {
  pages.set("/doc", (__, response) => response.writeHead(200, type === "" ? {} : { "content-type": type }).end(body));
  expect(await fetchUrl(at("/doc"))).toEqual({ isError: false, text: `URL: ${at("/doc")}\n\n${text}` });
});

test.each([
  ["an image", "unsupported_content_type", (response) => response.writeHead(200, { "content-type": "image/png" }).end("png")],
  ["404", "url_not_accessible", (response) => response.writeHead(404).end("<p>secret</p>")],
  [
    "a broken PDF",
    "url_not_accessible",
    (response) => response.writeHead(200, { "content-type": "application/pdf" }).end("%PDF-"),
  ],
  [
    "a cut answer",
    "url_not_accessible",
    (response) => response.writeHead(200, { "content-length": "9" }).write("x", () => response.destroy()),
  ],
  [
    "too much",
    "url_not_accessible",
    (response) => response.writeHead(200, { "content-type": "text/plain" }).end(Buffer.alloc(PAGE_BYTES_MAX + 1, "x")),
  ],
  [
    "much in little",
    "url_not_accessible",
    (response) =>
      response
        .writeHead(200, { "content-type": "text/plain", "content-encoding": "gzip" })
        .end(gzipSync(Buffer.alloc(PAGE_BYTES_MAX * 4, "x"))),
  ],
  ["a redirect to itself", "url_not_accessible", (response) => response.writeHead(302, { location: "/bad" }).end()],
  ["a redirect to a file", "url_not_allowed", (response) => response.writeHead(302, { location: "file:///etc/passwd" }).end()],
] as [string, string, (response: ServerResponse) => void][])("%s is an error result", async (_, code, respond) => {
  pages.set("/bad", (__, response) => respond(response));
  const answer = await fetchUrl(at("/bad"));
  expect(answer).toEqual(refused(code));
  expect(answer.text).not.toContain("secret");
});

test.each([
  ["not a URL", "pages"],
  ["a file", "file:///etc/passwd"],
  ["a user name", "http://me@pages.example/"],
  ["nothing", ""],
])("%s is no input", async (_, url) => {
  expect(await fetchUrl(url)).toEqual(refused("invalid_input"));
});

test("SSRF: private, metadata and own addresses are refused by number, by name and behind a redirect", async () => {
  const targets = [
    `http://127.0.0.1:${ownPort}/`,
    `http://localhost:${ownPort}/`,
    `http://2130706433:${ownPort}/`,
    `http://[::ffff:127.0.0.1]:${ownPort}/`,
    "http://10.0.0.5/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://private.example/",
    "http://metadata.example/latest/",
  ];
  for (const target of targets)
    expect(await fetchUrl(target), target).toEqual({ isError: true, text: expect.stringMatching(/^url_not_a/) });
  for (const target of targets) {
    pages.set("/away", (_, response) => response.writeHead(302, { location: target }).end());
    expect(await fetchUrl(at("/away")), `redirect to ${target}`).toEqual({
      isError: true,
      text: expect.stringMatching(/^url_not_a/),
    });
  }
});

test("domain lists hold at every redirect", async () => {
  html("/there", "<p>there</p>");
  const onlyPages = [toolset({ name: "web_fetch", allowed_domains: ["pages.example"] })];
  expect(await fetchUrl(at("/there", "docs.pages.example"), onlyPages)).toMatchObject({ isError: false });
  expect(await fetchUrl(at("/there", "other.example"), onlyPages)).toEqual(refused("url_not_allowed"));
  pages.set("/go", (_, response) => response.writeHead(302, { location: at("/there", "other.example") }).end());
  expect(await fetchUrl(at("/go"), onlyPages)).toEqual(refused("url_not_allowed"));
  expect(await fetchUrl(at("/go"))).toEqual({ isError: false, text: `URL: ${at("/there", "other.example")}\n\nthere` });
  const blocked = [toolset({ name: "web_fetch", blocked_domains: ["other.example"] })];
  expect(await fetchUrl(at("/go"), blocked)).toEqual(refused("url_not_allowed"));
  expect(came.filter((each) => each === "other.example /there")).toHaveLength(1);
  expect(await fetchUrl("http://a.blocked.example/")).toEqual(refused("url_not_allowed"));
});

test("limited networking binds it: allowed_hosts only, and the flags add nothing", async () => {
  html("/there", "<p>there</p>");
  pages.set("/go", (_, response) => response.writeHead(302, { location: at("/there", "other.example") }).end());
  await withNetworking(limited("pages.example"), async () => {
    expect(await fetchUrl(at("/there"))).toMatchObject({ isError: false });
    expect(await fetchUrl(at("/there", "docs.pages.example"))).toEqual(refused("url_not_allowed"));
    expect(await fetchUrl(at("/go"))).toEqual(refused("url_not_allowed"));
  });
  await withNetworking(limited(), async () => expect(await fetchUrl(at("/there"))).toEqual(refused("url_not_allowed")));
});

test("only what the session has shown: a page leads on, the model's own ideas do not", async () => {
  html("/start", `<a href="/linked">on</a>`);
  html("/linked", "<p>linked</p>");
  const start = at("/start");
  const answers = await ask(`Start at ${start}.`, [
    get(at("/linked")),
    get(`${start}?leak=secret`),
    // Refused once, it is still not shown.
    get(`${start}?leak=secret`),
    get(start),
    get(at("/linked#part")),
  ]);
  expect(answers.slice(0, 3)).toEqual([1, 2, 3].map(() => refused("url_not_in_prior_context")));
  expect(answers.slice(3)).toMatchObject([{ isError: false }, { isError: false }]);
  expect(came).toEqual(["pages.example /start", "pages.example /linked"]);
});

test("documents, system prompts, and what sandbox tools say do not count; what clients answer does", async () => {
  html("/a", "<p>a</p>");
  const data = `see ${at("/a")}`;
  const document = { type: "document" as const, source: { type: "text" as const, media_type: "text/plain" as const, data } };
  expect(await ask({ type: "user.message", content: [{ type: "text", text: "Read it." }, document] }, [get(at("/a"))])).toEqual([
    refused("url_not_in_prior_context"),
  ]);
  const sessionId = await stage.newSession({ tools: [toolset(), CUSTOM], system: data });
  await stage.send(sessionId, say("Go."));
  const turn = await node.nextTurn();
  const { effects } = turn;
  const { spanId } = await effects.startStep();
  const [bash, custom] = [effects.newEventId(), effects.newEventId()];
  const usage = { input_tokens: 1, output_tokens: 1, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 };
  await effects.finishStep(spanId, {
    message: { id: effects.newEventId(), content: [{ type: "text", text: data }] },
    calls: [
      { id: bash, name: "bash", input: { command: `echo ${at("/a")}` } },
      { id: custom, name: "ask", input: {} },
    ],
    usage,
    timing: { firstTokenMs: 1, totalMs: 1 },
  });
  const ran = effects.executeTool(bash);
  (await node.nextTool()).end({ content: [{ type: "text", text: data }] });
  await ran;
  turn.end({ type: "idle", stopReason: "requires_action" });
  await until(async () => (await stage.status(sessionId)) === "idle");
  const answer = (text: string): EventParams => ({
    type: "user.custom_tool_result",
    custom_tool_use_id: custom,
    content: [{ type: "text", text }],
  });
  await stage.send(sessionId, answer(`try ${at("/b")}`));
  html("/b", "<p>b</p>");
  expect(await play(await node.nextTurn(), [get(at("/a")), get(at("/b"))])).toEqual([
    refused("url_not_in_prior_context"),
    { isError: false, text: `URL: ${at("/b")}\n\nb` },
  ]);
});

test("url_sources narrows what counts", async () => {
  const sources = (url_sources: object) => [
    toolset({
      name: "web_fetch",
      url_sources: { user_input: null, server_tool_results: null, client_tool_results: null, ...url_sources },
    }),
  ];
  expect(await fetchUrl(at("/"), sources({ user_input: { type: "none" } }))).toEqual(refused("url_not_in_prior_context"));
  expect(await fetchUrl(at("/"), sources({ server_tool_results: { type: "none" } }))).toMatchObject({ isError: false });
  html("/next", "<p>next page</p>");
  const path = [get(at("/")), get(at("/next"))];
  const only = (type: "only" | "except", name: string) =>
    sources({ server_tool_results: { type, tools: [{ type: "tool_reference", name }] } });
  expect((await ask(at("/"), path, only("only", "web_fetch")))[1]).toMatchObject({ isError: false });
  expect((await ask(at("/"), path, only("only", "web_search")))[1]).toEqual(refused("url_not_in_prior_context"));
  expect((await ask(at("/"), path, only("except", "web_fetch")))[1]).toEqual(refused("url_not_in_prior_context"));
});

test("what was shown long ago still counts", async () => {
  const sessionId = await stage.newSession({ tools: [toolset()] });
  const shown = (text: string) => newEvent("user.message", { content: [{ type: "text", text }] });
  const events = [shown(at("/")), ...Array.from({ length: 450 }, (_, index) => shown(`message ${index}`))];
  await writeSession(stage.db, { sessionId, threadId: "sthr_1", generation: null, events });
  await stage.send(sessionId, say("Go on."));
  const [first, second] = await play(await node.nextTurn(), [get(at("/")), get(at("/never"))]);
  expect(first).toMatchObject({ isError: false });
  expect(second).toEqual(refused("url_not_in_prior_context"));
});

test("max_content_tokens cuts a page", async () => {
  html("/long", `<p>${"word ".repeat(1_000)}</p>`);
  const { text } = await fetchUrl(at("/long"), [toolset({ name: "web_fetch", max_content_tokens: 10 })]);
  expect(text).toContain(`\n\n${"word ".repeat(8)}\n\n[cut here: max_content_tokens is 10`);
});

test("an interrupt cuts a fetch that hangs", async () => {
  const hanging = Promise.withResolvers<void>();
  pages.set("/hang", () => hanging.resolve());
  const sessionId = await stage.newSession({ tools: [toolset()] });
  await stage.send(sessionId, say(at("/hang")));
  const turn = await node.nextTurn();
  const answers = play(turn, [get(at("/hang"))]);
  const stopped = expect(answers).rejects.toMatchObject({ reason: "interrupted" });
  await hanging.promise;
  await stage.send(sessionId, interrupt);
  await stopped;
  turn.end({ type: "stopped" });
  await until(async () => (await stage.status(sessionId)) === "idle");
});

const RESULTS = [
  { url: "https://docs.example.com/api", title: "API", content: "How to <b>call</b> it" },
  { url: "https://example.com/docs/a", title: "A", content: "" },
  { url: "https://evil.io/x", title: "", content: "x" },
  { url: "javascript:alert(1)", title: "no", content: "no" },
  { nothing: true },
];
function searx(results: unknown = RESULTS): void {
  pages.set("/searx/search", (_, response) => response.end(JSON.stringify({ results })));
}
const sourcesOf = (answer: Answer | undefined) =>
  [...(answer?.text ?? "").matchAll(/"source":"([^"]+)"/g)].map((match) => match[1]);

test("search gives results as blocks; what they show can be fetched", async () => {
  html("/found", "<p>found it</p>");
  searx([...RESULTS, { url: at("/found"), title: "Found", content: "here" }]);
  const [found, page, other] = await ask("Find it.", [find("the page"), get(at("/found")), get(at("/"))]);
  expect(sourcesOf(found)).toEqual([
    "https://docs.example.com/api",
    "https://example.com/docs/a",
    "https://evil.io/x",
    at("/found"),
  ]);
  expect(found?.text).toContain('"content":[{"type":"text","text":"How to call it"}]');
  expect(page).toMatchObject({ isError: false, text: expect.stringContaining("found it") });
  expect(other).toEqual(refused("url_not_in_prior_context"));
  expect(came[0]).toBe("127.0.0.1 /searx/search?q=the+page&format=json");
});

test("lists and limited networking drop results, and nobody is asked when none could be left", async () => {
  searx();
  const search = async (config: object = {}) =>
    sourcesOf((await ask("Find.", [find("q")], [toolset({ name: "web_search", ...config })]))[0]);
  expect(await search({ allowed_domains: ["example.com"] })).toEqual([
    "https://docs.example.com/api",
    "https://example.com/docs/a",
  ]);
  expect(new URL(`http://x${came[0]?.split(" ")[1]}`).searchParams.get("q")).toBe("q site:example.com");
  expect(await search({ allowed_domains: ["example.com/docs"] })).toEqual(["https://example.com/docs/a"]);
  expect(await search({ blocked_domains: ["docs.example.com", "evil.io"] })).toEqual(["https://example.com/docs/a"]);
  await withNetworking(limited("*.example.com"), async () => expect(await search()).toEqual(["https://docs.example.com/api"]));
  came = [];
  await withNetworking(limited(), async () => {
    expect(await ask("Find.", [find("q")])).toEqual([{ text: "No results.", isError: false }]);
  });
  expect(came).toEqual([]);
});

test("a search service that fails is an error result that says what to do", async () => {
  pages.set("/searx/search", (_, response) => response.writeHead(403).end("private text"));
  const [answer] = await ask("Find.", [find("q"), find(" "), find("x".repeat(2_000))]);
  expect(answer).toEqual({ isError: true, text: expect.stringMatching(/^unavailable: .*403.*json/) });
  expect(answer?.text).not.toContain("private");
});

test("a list that the environment shuts out since: the turn ends with an error, and the next one may work", async () => {
  const sessionId = await stage.newSession({ tools: [toolset({ name: "web_fetch", allowed_domains: ["pages.example"] })] });
  await withNetworking(limited("other.example"), async () => {
    await stage.send(sessionId, say(at("/")));
    await until(async () => (await stage.types(sessionId)).includes("session.status_idle"));
  });
  const { rows } = await stage.db.query<{ error: object }>(
    "select body->'error' as error from events where session_id = $1 and type = 'session.error'",
    [sessionId],
  );
  expect(rows).toEqual([
    {
      error: {
        type: "unknown_error",
        message: expect.stringContaining('"pages.example"'),
        retry_status: { type: "exhausted" },
      },
    },
  ]);
  await stage.send(sessionId, say("Again."));
  expect(await play(await node.nextTurn(), [get(at("/"))])).toMatchObject([{ isError: false }]);
});

test("a call of a disabled web tool is denied without an evaluation", async () => {
  const tools = [toolset({ name: "web_fetch", enabled: false })];
  const sessionId = await stage.newSession({ tools });
  await stage.send(sessionId, say(at("/")));
  const turn = await node.nextTurn();
  const { spanId } = await turn.effects.startStep();
  const usage = { input_tokens: 1, output_tokens: 1, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 };
  const fates = await turn.effects.finishStep(spanId, {
    calls: [{ id: turn.effects.newEventId(), ...get(at("/")) }],
    usage,
    timing: { firstTokenMs: 1, totalMs: 1 },
  });
  expect(fates).toMatchObject([{ action: "answered", result: { isError: true } }]);
  expect(came).toEqual([]);
  await play(turn, []);
});
