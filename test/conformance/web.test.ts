import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { call, createScriptedMcpServer, say } from "@sandbox0/testkit";
import { afterAll, afterEach, expect } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { refusedAsInvalid } from "./fixture/refused.ts";
import { allow, last, message, only, saidBy, stopReasons, textOf, type TestSession, waitingIds } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const routes = new Map<string, RequestListener>();
const site = createServer((request, response) => {
  const route = routes.get((request.url ?? "").split("?")[0] ?? "");
  if (route) route(request, response);
  else response.writeHead(404).end();
});
await once(site.listen(0, "127.0.0.1"), "listening");
const at = (path: string) => `http://127.0.0.1:${(site.address() as AddressInfo).port}${path}`;
afterAll(() => {
  site.closeAllConnections();
  site.close();
});

const JUDGE = "claude-haiku-4-5";
const server = conformanceServer({
  SANDBOX0_EGRESS_ALLOW_PRIVATE: "127.0.0.1",
  SANDBOX0_WEB_SEARCH: "searxng",
  SANDBOX0_WEB_SEARCH_URL: at("/searx"),
  SANDBOX0_JUDGE_MODEL: JUDGE,
});
const unset = conformanceServer();
const undo: (() => void)[] = [];
afterEach(() => {
  for (const each of undo.splice(0)) each();
});

const answerWith = (path: string, type: string, body: string | Buffer) =>
  routes.set(path, (_, response) => response.writeHead(200, { "content-type": type }).end(body));
const fetchUrl = (url: string) => call("web_fetch", { url });
const bash = (command: string) => call("bash", { command });
const search = (query: string) => call("web_search", { query });
type Call = ReturnType<typeof call>;
interface Setup {
  configs?: object[];
  environmentId?: string;
  on?: typeof server;
}

function open({ configs = [], environmentId, on = server }: Setup = {}): Promise<TestSession> {
  const tools = [{ ...TOOLSET, configs }] as never;
  return on.createSession({ agent: { make: { tools } }, ...(environmentId ? { environment_id: environmentId } : {}) });
}

/** What the calls answer, one after the other in one turn whose user says `text`. */
async function answersIn(session: TestSession, text: string, calls: readonly Call[], on = server) {
  const before = only(await session.events(), "agent.tool_result").length;
  await session.send(message(`${text} ${on.play(...calls, say("Done."))}`));
  const events = await session.rest();
  expect(saidBy(events).at(-1)).toBe("Done.");
  return only(events, "agent.tool_result")
    .slice(before)
    .map((result) => ({ text: textOf(result), isError: result.is_error === true, content: result.content ?? [] }));
}
async function answer(text: string, made: Call, setup?: Setup) {
  const [result] = await answersIn(await open(setup), text, [made], setup?.on);
  return result;
}
const limitedTo = async (...allowed_hosts: string[]) => {
  const networking = { type: "limited" as const, allowed_hosts, allow_mcp_servers: true, allow_package_managers: true };
  return server.client.beta.environments.create({ name: "limited", config: { type: "cloud", networking } });
};
const error = (code: string) => ({ isError: true, text: expect.stringMatching(new RegExp(`^${code}: `)) });

verifies(["web.offered", "web.fetch"], "a page in a tool result; the sandbox is not asked", async () => {
  answerWith("/page", "text/html", "<html><head><title>Page</title></head><body><h1>Hello</h1><p>World</p></body></html>");
  const session = await open();
  const marker = server.play(fetchUrl(at("/page")), say("Read."));
  await session.send(message(`Read ${at("/page")} ${marker}`));
  const events = await session.rest();
  const use = last(events, "agent.tool_use");
  expect(use).toMatchObject({ name: "web_fetch", evaluated_permission: "allow", evaluation: { type: "always_allow" } });
  const result = last(events, "agent.tool_result");
  expect(result).toMatchObject({ tool_use_id: use.id, is_error: false });
  expect(textOf(result)).toBe(`URL: ${at("/page")}\nTitle: Page\n\n# Hello\n\nWorld`);
  const [request] = server.requests(marker);
  expect([...(request?.toolNames ?? [])].filter((name) => name.startsWith("web_")).sort()).toEqual(["web_fetch", "web_search"]);
});

verifies("web.pdf", "the words of a PDF", async () => {
  answerWith("/paper.pdf", "application/pdf", pdf("A short paper"));
  expect(await answer(at("/paper.pdf"), fetchUrl(at("/paper.pdf")))).toMatchObject({
    isError: false,
    text: expect.stringContaining("A short paper"),
  });
});

verifies(["web.ssrf", "web.blocked-fetch"], "what is not on the public Internet", async () => {
  const targets = [
    server.url,
    "http://10.1.2.3/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]:8080/",
    `http://localhost:${new URL(server.url).port}/`,
  ];
  for (const target of targets) {
    const url = new URL(target).href;
    expect(await answer(`Read ${url}`, fetchUrl(url)), url).toMatchObject(error("url_not_allowed"));
    routes.set("/away", (_, response) => response.writeHead(302, { location: url }).end());
    expect(await answer(at("/away"), fetchUrl(at("/away"))), url).toMatchObject(error("url_not_allowed"));
  }
});

verifies(["web.prior-context", "web.url-sources"], "only what the session has shown", async () => {
  answerWith("/first", "text/html", `<a href="${at("/second")}">on</a>`);
  answerWith("/second", "text/plain", "second");
  const calls = [fetchUrl(at("/second")), fetchUrl(at("/first")), fetchUrl(at("/second"))];
  const answers = await answersIn(await open(), `Start at ${at("/first")}.`, calls);
  expect(answers).toMatchObject([error("url_not_in_prior_context"), { isError: false }, { isError: false }]);
  const configs = [{ name: "web_fetch", url_sources: { server_tool_results: "none" } }];
  const narrowed = await answersIn(await open({ configs }), `Start at ${at("/first")}.`, calls);
  expect(narrowed).toMatchObject([error("url_not_in_prior_context"), { isError: false }, error("url_not_in_prior_context")]);
});

verifies(["web.spill", "web.max-content-tokens"], "a long page goes to a file, or is cut", async () => {
  const lines = Array.from({ length: 20_000 }, (_, index) => `line ${index}`).join("\n");
  answerWith("/long", "text/plain", lines);
  const session = await open();
  const [long] = await answersIn(session, at("/long"), [fetchUrl(at("/long"))]);
  expect(long?.text.length).toBeLessThan(20_000);
  const path = /saved to (\/\S+\.txt)/.exec(long?.text ?? "")?.[1];
  const [tail] = await answersIn(session, "Go on.", [bash(`tail -n 1 ${path}`)]);
  expect(tail?.text.trim()).toBe("line 19999");
  const cut = await answer(at("/long"), fetchUrl(at("/long")), { configs: [{ name: "web_fetch", max_content_tokens: 100 }] });
  expect(cut?.text.length).toBeLessThan(700);
  expect(cut?.text).toContain("max_content_tokens is 100");
});

verifies(["web.search", "web.search-lists"], "results as blocks, without what the lists shut out", async () => {
  answerWith("/found", "text/plain", "the answer");
  const results = [
    { url: "https://docs.example.com/a/b", title: "One", content: "first" },
    { url: "https://example.org/x", title: "Two", content: "second" },
    { url: at("/found"), title: "Three", content: "third" },
  ];
  answerWith("/searx/search", "application/json", JSON.stringify({ results }));
  const [found, page] = await answersIn(await open(), "Search.", [search("q"), fetchUrl(at("/found"))]);
  expect(found?.content).toEqual(
    results.map(({ url, title, content }) => ({
      type: "search_result",
      source: url,
      title,
      content: [{ type: "text", text: content }],
      citations: { enabled: false },
    })),
  );
  expect(page?.text).toContain("the answer");
  const sources = async (config: object, environmentId?: string) => {
    const setup = { configs: [{ name: "web_search", ...config }], ...(environmentId ? { environmentId } : {}) };
    const result = await answer("Search.", search("q"), setup);
    return (result?.content ?? []).map((block) => ("source" in block ? block.source : textOf({ content: [block] })));
  };
  expect(await sources({ allowed_domains: ["example.com/a"] })).toEqual(["https://docs.example.com/a/b"]);
  expect(await sources({ allowed_domains: ["example.com/b"] })).toEqual(["No results."]);
  expect(await sources({ blocked_domains: ["example.com"] })).toEqual(["https://example.org/x", at("/found")]);
});

verifies("web.usage", "searches are counted, in the session and in its usage event; what failed is not", async () => {
  answerWith("/page", "text/plain", "page");
  answerWith("/searx/search", "application/json", JSON.stringify({ results: [] }));
  const session = await open();
  await answersIn(session, `Search, and read ${at("/page")}.`, [search("a"), search(""), fetchUrl(at("/page")), search("b")]);
  const counted = { server_tool_use: { web_search_requests: 2, web_fetch_requests: 0 } };
  expect(last(await session.events(), "session.usage").usage).toMatchObject(counted);
  expect((await session.retrieve()).usage).toMatchObject(counted);
});

verifies("web.search-unset", "a server without a search provider says so", async () => {
  expect(await answer("Search.", search("q"), { on: unset })).toMatchObject({
    isError: true,
    text: expect.stringMatching(/not configured.*SANDBOX0_WEB_SEARCH/),
  });
});

verifies("web.limited", "limited networking binds both", async () => {
  answerWith("/page", "text/plain", "page");
  answerWith(
    "/searx/search",
    "application/json",
    JSON.stringify({ results: [{ url: "https://a.com/", title: "t", content: "c" }] }),
  );
  const [some, none] = [await limitedTo("a.com"), await limitedTo()];
  for (const { id: environmentId } of [some, none])
    expect(await answer(at("/page"), fetchUrl(at("/page")), { environmentId })).toMatchObject(error("url_not_allowed"));
  expect((await answer("Search.", search("q"), { environmentId: some.id }))?.content).toHaveLength(1);
  expect(await answer("Search.", search("q"), { environmentId: none.id })).toMatchObject({ text: "No results.", isError: false });
});

verifies(["web.limited-create", "web.invalid-later"], "lists and environment must fit, and are looked at again", async () => {
  const environment = await limitedTo("a.com", "*.b.com");
  const withDomains = (...domains: string[]) => ({
    configs: [{ name: "web_fetch" as const, allowed_domains: domains }],
    environmentId: environment.id,
  });
  await refusedAsInvalid(open(withDomains("a.com", "c.com")), /allowed_domains entry "c.com" is not within allowed_hosts/);
  const session = await open(withDomains("a.com", "docs.b.com"));
  const tools = [{ ...TOOLSET, configs: withDomains("c.com").configs }];
  await refusedAsInvalid(server.client.beta.sessions.update(session.id, { agent: { tools } }), /allowed_domains entry "c.com"/);
  const off = [{ ...TOOLSET, configs: [{ name: "web_fetch" as const, enabled: false, allowed_domains: ["c.com"] }] }];
  await server.client.beta.sessions.update((await open({ environmentId: environment.id })).id, { agent: { tools: off } });

  const networking = { type: "limited" as const, allowed_hosts: ["a.com"] };
  await server.client.beta.environments.update(environment.id, { config: { type: "cloud", networking } });
  const marker = server.play(say("Hi."));
  await session.send(message(marker));
  const events = await session.rest();
  expect(last(events, "session.error").error).toMatchObject({
    type: "unknown_error",
    message: expect.stringContaining('"docs.b.com"'),
    retry_status: { type: "exhausted" },
  });
  expect(stopReasons(events)).toEqual(["retries_exhausted"]);
  expect(server.requests(marker)).toEqual([]);
});

verifies("web.location", "a country and a time zone that exist", async () => {
  const agentAt = (location: object) =>
    server.createAgent({
      tools: [{ ...TOOLSET, configs: [{ name: "web_search", user_location: { type: "approximate", ...location } }] }],
    });
  await refusedAsInvalid(agentAt({ country: "QQ" }), /user_location.country: not a country the search provider supports/);
  await refusedAsInvalid(agentAt({ country: "de" }), /user_location.country/);
  await refusedAsInvalid(agentAt({ timezone: "Mars/Olympus" }), /user_location.timezone/);
  const location = { type: "approximate", city: "Berlin", country: "DE", timezone: "Europe/Berlin" };
  expect((await agentAt(location)).tools).toMatchObject([{ configs: [{ user_location: location }] }]);
});

// --- permission policy auto --------------------------------------------------------------------------------------------

const AUTO = { ...TOOLSET, default_config: { permission_policy: { type: "auto" as const } } };
/** What the judge's model says, by what is in the call; its own requests. */
function judgeBy(says: (prompt: string) => string): { prompts: string[] } {
  const prompts: string[] = [];
  undo.push(
    server.provider.onRequest(({ model, messages }) => {
      if (model !== JUDGE) return undefined;
      const prompt = messages.at(-1)?.text ?? "";
      prompts.push(prompt);
      return say(says(/BEGIN tool input [\s\S]*END tool input/.exec(prompt)?.[0] ?? ""));
    }),
  );
  return { prompts };
}

verifies(["auto.allow", "auto.deny"], "the judge's word decides, and the turn goes on", async () => {
  const { prompts } = judgeBy((input) => (input.includes("harmless") ? "ALLOW" : "DENY"));
  const session = await server.start({ tools: [AUTO] }, bash("echo harmless"), bash("rm -rf /workspace"), say("Then not."));
  const events = await session.rest();
  expect(only(events, "agent.tool_use")).toMatchObject([
    { evaluated_permission: "allow", evaluation: { type: "auto", evaluated_permission: { type: "allow" } } },
    {
      evaluated_permission: "deny",
      evaluation: { type: "auto", evaluated_permission: { type: "deny", reason_code: "high_risk" } },
    },
  ]);
  const [ran, denied] = only(events, "agent.tool_result");
  expect(ran).toMatchObject({ is_error: false });
  expect(textOf(ran ?? {})).toContain("harmless");
  expect(denied).toMatchObject({ is_error: true });
  expect(saidBy(events)).toEqual(["Then not."]);
  expect(stopReasons(events)).toEqual(["end_turn"]);
  expect(prompts).toHaveLength(2);
  // The judge's requests are no steps of the session.
  expect(only(events, "span.model_request_start")).toHaveLength(3);
});

verifies("auto.ask", "no judgement: asked, and a confirmation runs it", async () => {
  judgeBy(() => "I would say ALLOW.");
  const session = await server.start({ tools: [AUTO] }, bash("echo confirmed"), say("Done."));
  const events = await session.rest();
  expect(last(events, "agent.tool_use")).toMatchObject({
    evaluated_permission: "ask",
    evaluation: { type: "auto", evaluated_permission: { type: "ask", reason_code: "indeterminate" } },
  });
  await session.send(allow(waitingIds(events)[0] ?? ""));
  const after = await session.rest();
  expect(textOf(last(after, "agent.tool_result"))).toContain("confirmed");
  expect(stopReasons(after)).toEqual(["requires_action", "end_turn"]);
});

verifies(["auto.mixed", "auto.disabled"], "each call of a response by itself", async () => {
  const { prompts } = judgeBy((input) =>
    // The whole command: the border around the input is hexadecimal and may spell "bad".
    input.includes("echo good") ? "ALLOW" : input.includes("echo bad") ? "DENY" : "ASK",
  );
  const tools = [{ ...AUTO, configs: [{ name: "glob" as const, enabled: false }] }];
  const calls = [bash("echo good"), bash("echo bad"), bash("echo unclear"), call("glob", { pattern: "*" })];
  const session = await server.start({ tools }, calls, say("Done."));
  const events = await session.rest();
  const uses = only(events, "agent.tool_use");
  expect(uses.map((use) => use.evaluated_permission)).toEqual(["allow", "deny", "ask", "deny"]);
  expect(uses[3]).not.toHaveProperty("evaluation");
  expect(prompts).toHaveLength(3);
  expect(waitingIds(events)).toEqual([uses[2]?.id]);
  expect(
    only(events, "agent.tool_result")
      .map((result) => result.tool_use_id)
      .toSorted(),
  ).toEqual([uses[0]?.id, uses[1]?.id, uses[3]?.id].toSorted());
  await session.send(allow(uses[2]?.id ?? ""));
  expect(saidBy(await session.rest())).toEqual(["Done."]);
});

verifies("auto.mcp", "a call of an MCP server's tool is judged too", async () => {
  const mcp = await createScriptedMcpServer({ tools: [{ name: "echo" }] });
  undo.push(() => void mcp.close());
  const { prompts } = judgeBy((input) => (input.includes("fine") ? "ALLOW" : "DENY"));
  const made = {
    mcp_servers: [{ type: "url" as const, name: "docs", url: mcp.url }],
    tools: [{ type: "mcp_toolset" as const, mcp_server_name: "docs", default_config: AUTO.default_config }],
  };
  const session = await server.start(
    made,
    [call("mcp__docs__echo", { text: "fine" }), call("mcp__docs__echo", { text: "risky" })],
    say("Done."),
  );
  const events = await session.rest();
  const uses = only(events, "agent.mcp_tool_use");
  expect(uses.map((use) => use.evaluated_permission)).toEqual(["allow", "deny"]);
  expect(uses[1]?.evaluation).toEqual({ type: "auto", evaluated_permission: { type: "deny", reason_code: "high_risk" } });
  const results = only(events, "agent.mcp_tool_result");
  expect(uses.map((use) => results.find((result) => result.mcp_tool_use_id === use.id)?.is_error)).toEqual([false, true]);
  expect(prompts).toHaveLength(2);
  expect(saidBy(events)).toEqual(["Done."]);
});

/** A PDF of one page with these words. */
function pdf(words: string): Buffer {
  const content = `BT /F1 12 Tf 72 720 Td (${words}) Tj ET`;
  const objects = [
    "<< /Type /Catalog /Pages 2 0 R >>",
    "<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
    "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
    `<< /Length ${content.length} >>\nstream\n${content}\nendstream`,
    "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
  ];
  let file = "%PDF-1.7\n";
  const offsets = objects.map((object, index) => {
    const offset = file.length;
    file += `${index + 1} 0 obj\n${object}\nendobj\n`;
    return `${String(offset).padStart(10, "0")} 00000 n \n`;
  });
  const start = file.length;
  file += `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${offsets.join("")}`;
  return Buffer.from(`${file}trailer\n<< /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${start}\n%%EOF\n`);
}
