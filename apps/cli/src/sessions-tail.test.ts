import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { byMarker, call, createGate, hold, say, until } from "@sandbox0/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ScriptedServer, STEERS, startScriptedServer } from "./scripted-server.fixture.ts";

/** Titles, clipboards, cursor keys, erased lines, C1, reversed text, hidden tags. */
const HOSTILE =
  "\x1b]0;owned\x07 \x1b]52;c;cm0gLXJmIC8=\x07 \x1b[2J\x1b[1;1H\x1b[31mred\x1b[0m \x9b31m \x7f\b\b \r\u202egnp.exe\u2066 \u{e0041}";
const gates = { live: createGate(), cut: createGate(), again: createGate() };

let server: ScriptedServer;
let agentId: string;
let environmentId: string;
beforeAll(async () => {
  server = await startScriptedServer(
    byMarker({
      "say it": [say("One line.\nAnother line.")],
      slowly: [[say("It begins"), hold(gates.live), say("It ends.")]],
      "be cut": [[say("Before the cut"), hold(gates.cut), say("After it.")]],
      "be hostile": [
        [say(HOSTILE), call("bash", { command: `printf '%b' '\\033]0;owned\\007\\0302\\0233'; : ${HOSTILE}` })],
        say("done"),
      ],
    }),
  );
  const { beta } = server.client;
  environmentId = (await beta.environments.create({ name: "tail" })).id;
  const tools = [{ type: "agent_toolset_20260401" as const }];
  agentId = (await beta.agents.create({ name: "Tailed", model: "claude-haiku-5-5", tools })).id;
});
afterAll(() => server.close());

const newSession = async (title = "t"): Promise<string> =>
  (await server.client.beta.sessions.create({ agent: agentId, environment_id: environmentId, title })).id;
const send = (id: string, text: string) =>
  server.client.beta.sessions.events.send(id, { events: [{ type: "user.message", content: [{ type: "text", text }] }] });
const isIdleAfter = async (id: string, count: number): Promise<boolean> =>
  (await listEvents(id)).filter(({ type }) => type === "session.status_idle").length >= count;
async function listEvents(id: string) {
  const events: { id: string; type: string }[] = [];
  for await (const event of server.client.beta.sessions.events.list(id)) events.push(event);
  return events;
}

test("a message appears as it is written, whole and once", async () => {
  const id = await newSession();
  const tail = server.start(["sessions", "tail", id]);
  await send(id, "say it");
  await tail.waitFor(/agent\.message +One line\.\n {42}Another line\.\n[\s\S]*session\.status_idle +end_turn\n/);
  // It follows by now: a stream that comes in the middle of a message gets no previews of it.
  await send(id, "slowly");
  await tail.waitFor(/ user\.message +slowly\n[\s\S]*\nlive +agent\.message +It begins$/);
  gates.live.open();
  await tail.waitFor(/\nlive +agent\.message +It begins\n {42}It ends\.\n[\s\S]*session\.status_idle +end_turn\n/);
  await server.client.beta.sessions.delete(id);
  const { code, stdout, stderr } = await tail.ended;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout.match(/agent\.message/g)).toHaveLength(2);
});

test("a reader that leaves, as head does, is no failure", async () => {
  const id = await newSession();
  await send(id, "say it");
  await until(() => isIdleAfter(id, 1));
  const program = `set -o pipefail; "$0" "$1" sessions show ${id} | head -n 1`;
  const launch = ["bash", "--norc", "-c", program, process.execPath];
  const { code, stdout, stderr } = await server.start([new URL("../bin/sandbox0.js", import.meta.url).pathname], { launch })
    .ended;
  expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: `${id}  idle\n`, stderr: "" });
});

test("--json is a line an event; --previews adds what comes before them", async () => {
  const id = await newSession();
  const [plain, withPreviews] = [
    server.start(["sessions", "tail", id, "--json"]),
    server.start(["sessions", "tail", id, "--json", "--previews"]),
  ];
  // A message before it is live for both: what is previewed later is not missed.
  await send(id, "say it");
  for (const tail of [plain, withPreviews]) await tail.waitFor(/"session.status_idle"/);
  await send(id, "say it");
  for (const tail of [plain, withPreviews]) await tail.waitFor(/"session.status_idle"[\s\S]*"session.status_idle"/);
  await server.client.beta.sessions.delete(id);
  const linesOf = async (tail: typeof plain) =>
    (await tail.ended).stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
  const [events, everything] = [await linesOf(plain), await linesOf(withPreviews)];
  const isPreview = ({ type }: { type: string }) => type === "event_start" || type === "event_delta";
  expect(events.filter(isPreview)).toEqual([]);
  expect(everything.filter(isPreview).length).toBeGreaterThan(1);
  expect(everything.filter((event) => !isPreview(event)).at(-1)).toEqual(events.at(-1));
  expect((await server.run("sessions", "tail", id, "--previews")).code).toBe(2);
});

/** A line to the server that can be cut, and refused for a while. */
async function openProxy(): Promise<{ url: string; cut(): void; refuse(refused: boolean): void; close(): void }> {
  const sockets = new Set<Socket>();
  let refused = false;
  const proxy = createServer((socket) => {
    sockets.add(socket.on("error", () => socket.destroy()));
    if (refused) return void socket.destroy();
    const there = connect(Number(new URL(server.url).port), "127.0.0.1");
    sockets.add(there.on("error", () => socket.destroy()).on("close", () => socket.destroy()));
    socket
      .on("close", () => there.destroy())
      .pipe(there)
      .pipe(socket);
  });
  await once(proxy.listen(0, "127.0.0.1"), "listening");
  const address = proxy.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    refuse: (value) => {
      refused = value;
    },
    close: () => void proxy.close(),
  };
}

describe("a connection that breaks", () => {
  test("loses no event and repeats none, and a message that was half shown is ended", async () => {
    const proxy = await openProxy();
    const id = await newSession();
    const environment = { SANDBOX0_URL: proxy.url };
    const [json, text] = [
      server.start(["sessions", "tail", id, "--json"], { environment }),
      server.start(["sessions", "tail", id], { environment }),
    ];
    await send(id, "say it");
    for (const tail of [json, text]) await tail.waitFor(/session\.status_idle/);
    await send(id, "be cut");
    await text.waitFor(/Before the cut/);
    proxy.refuse(true);
    proxy.cut();
    gates.cut.open();
    await until(() => isIdleAfter(id, 2));
    await send(id, "say it");
    await until(() => isIdleAfter(id, 3));
    proxy.refuse(false);
    for (const tail of [json, text]) await tail.waitFor(/(session\.status_idle[\s\S]*){3}/);
    const events = await listEvents(id);
    await server.client.beta.sessions.delete(id);
    const seen = (await json.ended).stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(seen.filter((event) => event.processed_at).map((event) => event.id)).toEqual([
      ...events.map((event) => event.id),
      expect.any(String),
    ]);
    const { stdout, stderr } = await text.ended;
    expect(stderr).toBe("sandbox0: the connection broke; connecting again\n");
    expect(stdout).toMatch(/\nlive +agent\.message +Before the cut\nlive +agent\.message *\n {42}After it\.\n/);
    expect(stdout.match(/Before the cut/g)).toHaveLength(1);
    expect(stdout.match(/After it\./g)).toHaveLength(1);
    expect(stdout.match(/Another line\./g)).toHaveLength(2);
    proxy.close();
  });

  test("that never stood is an error at once", async () => {
    const { code, stderr } = await server.start(["sessions", "tail", "sesn_1", "--url", "http://127.0.0.1:9"]).ended;
    expect(code).toBe(1);
    expect(stderr).toContain("No answer from http://127.0.0.1:9");
  });
});

describe("hostile output of an agent", () => {
  test("cannot steer the terminal, whatever shows it; JSON holds it as it was", async () => {
    const id = await newSession(`title ${HOSTILE}`);
    await send(id, "be hostile");
    await until(() => isIdleAfter(id, 1));
    const shown: string[] = [];
    for (const argv of [["tail", "--until-idle"], ["show"]]) {
      const { code, stdout } = await server.run("sessions", argv[0] ?? "", id, ...argv.slice(1));
      expect(code).toBe(0);
      shown.push(stdout);
    }
    shown.push((await server.run("sessions", "list")).stdout);
    for (const stdout of shown) {
      expect(stdout).toContain(String.raw`\x1b]0;owned\x07`);
      expect(stdout).not.toMatch(STEERS);
    }
    expect(shown[0]).toContain(String.raw`\u202egnp.exe`);
    // The bytes that the command printed in the sandbox.
    expect(shown[0]).toMatch(/agent\.tool_result +.*\\x1b\]0;owned\\x07/);
    const json = (await server.run("sessions", "tail", id, "--until-idle", "--json")).stdout;
    expect(json).not.toMatch(STEERS);
    const message = json
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line))
      .find(({ type }) => type === "agent.message");
    expect(message.content[0].text).toBe(HOSTILE);
  });

  test("cannot steer it while it is written, either", async () => {
    const id = await newSession();
    const tail = server.start(["sessions", "tail", id]);
    await send(id, "be hostile");
    await tail.waitFor(/session\.status_idle/);
    await server.client.beta.sessions.delete(id);
    const { stdout } = await tail.ended;
    expect(stdout).toContain(String.raw`\x1b]0;owned\x07`);
    expect(stdout).not.toMatch(STEERS);
  });
});

// biome-ignore lint/suspicious/noControlCharactersInRegex: what is looked for
const SGR = /\x1b\[[\d;]*m/g;
const hasScript = (() => {
  try {
    return execFileSync("script", ["--version"]).length > 0;
  } catch {
    return false;
  }
})();

describe("colours", () => {
  test("none in a pipe, on demand the same text with them", async () => {
    const id = await newSession();
    await send(id, "say it");
    await until(() => isIdleAfter(id, 1));
    const argv = ["sessions", "tail", id, "--until-idle"];
    const plain = (await server.run(...argv)).stdout;
    expect(plain).not.toContain("\x1b");
    const coloured = (await server.start(argv, { environment: { FORCE_COLOR: "1" } }).ended).stdout;
    expect(coloured).toContain("\x1b[32magent.message");
    expect(coloured.replaceAll(SGR, "")).toBe(plain);
  });

  test.skipIf(!hasScript)("on a terminal, and not with NO_COLOR", async () => {
    const id = await newSession();
    const launch = (environment: Record<string, string>) => {
      const command = `${process.execPath} ${new URL("../bin/sandbox0.js", import.meta.url).pathname} sessions show ${id}`;
      return server.start([command, "/dev/null"], { launch: ["script", "-qec"], environment: { TERM: "xterm", ...environment } })
        .ended;
    };
    await send(id, "say it");
    await until(() => isIdleAfter(id, 1));
    expect((await launch({})).stdout).toMatch(SGR);
    expect((await launch({ NO_COLOR: "1" })).stdout).not.toContain("\x1b");
  });
});
