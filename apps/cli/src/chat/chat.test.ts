import { execFileSync } from "node:child_process";
import { byMarker, call, createGate, hold, lastResults, say } from "@sandbox0/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PIPE } from "../command-line.fixture.ts";
import { type ScriptedServer, STEERS, startScriptedServer } from "../scripted-server.fixture.ts";

const gates = { streamed: createGate(), never: createGate() };
const HOSTILE = "\x1b]0;owned\x07\u202e\x9b2J";

let server: ScriptedServer;
let agentId: string;
let environmentId: string;
beforeAll(async () => {
  server = await startScriptedServer(
    byMarker({
      "first word": [say("First answer.")],
      "second word": [say("Second answer.")],
      "in pieces": [[say("It begins"), hold(gates.streamed), say("It ends.")]],
      "run it": [
        [say("I run it."), call("bash", { command: "echo from-the-sandbox" })],
        (request) => say(`It said: ${lastResults(request)[0]?.text}`),
      ],
      "ask the weather": [
        call("get_weather", { city: "Oslo" }),
        (request) => say(`The weather: ${lastResults(request)[0]?.text}`),
      ],
      "never end": [[say("I work"), hold(gates.never), say("on.")]],
      "be hostile": [[say(HOSTILE), call("bash", { command: `true ${HOSTILE}` })], say("done")],
    }),
  );
  const { beta } = server.client;
  environmentId = (await beta.environments.create({ name: "chat" })).id;
  const agent = await beta.agents.create({
    name: "Asks",
    model: "claude-haiku-5-5",
    tools: [
      { type: "agent_toolset_20260401", default_config: { permission_policy: { type: "always_ask" } } },
      {
        type: "custom",
        name: "get_weather",
        description: "The weather of a city.",
        input_schema: { type: "object", properties: { city: { type: "string" } } },
      },
    ],
  });
  agentId = agent.id;
});
afterAll(() => server.close());

const newSession = async (): Promise<string> =>
  (await server.client.beta.sessions.create({ agent: agentId, environment_id: environmentId })).id;
const chat = (input: string, ...argv: string[]) => server.start(["chat", ...argv], { input }).ended;
async function listEvents(id: string) {
  const events: { type: string; [field: string]: unknown }[] = [];
  for await (const event of server.client.beta.sessions.events.list(id)) events.push({ ...event });
  return events;
}

describe("in a pipe", () => {
  test("a new session, a message a line, each when the one before is answered", async () => {
    const { code, stdout, stderr } = await chat(
      "first word\n\nsecond word\n",
      "--agent",
      agentId,
      "--environment",
      environmentId,
      "--title",
      "Piped",
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const [, id = ""] = /^session (sesn_\w+)$/m.exec(stdout) ?? [];
    expect(stdout).toBe(`session ${id}\nFirst answer.\nSecond answer.\n`);
    expect(await server.client.beta.sessions.retrieve(id)).toMatchObject({ title: "Piped", status: "idle" });
    const again = await chat("second word", id);
    // What was said before comes first.
    expect(again.stdout).toBe(`session ${id}\n> first word\nFirst answer.\n> second word\nSecond answer.\nSecond answer.\n`);
    expect(again.code).toBe(0);
  });

  test("the answer appears as it is written", async () => {
    const line = server.start(["chat", await newSession()], { input: "in pieces\n" });
    await line.waitFor(/It begins$/);
    gates.streamed.open();
    expect((await line.ended).stdout).toMatch(/\nIt begins\nIt ends\.\n$/);
  });

  test("a call that asks is shown whole, and allowed", async () => {
    const { code, stdout } = await chat("run it\ny\n", await newSession());
    expect(code).toBe(0);
    expect(stdout).toMatch(/I run it\.\n→ bash {"command":"echo from-the-sandbox"}\n\? bash asks to run:\n/);
    expect(stdout).toContain('"command": "echo from-the-sandbox"');
    expect(stdout).toMatch(/← from-the-sandbox\nIt said: from-the-sandbox\s*\n$/);
  });

  test("it is denied, with the reason, and the agent is told", async () => {
    const id = await newSession();
    const { code, stdout } = await chat("run it\nnot on this machine\n", id);
    expect(code).toBe(0);
    expect(stdout).toMatch(/It said: .*not on this machine/);
    const events = await listEvents(id);
    expect(events).toContainEqual(
      expect.objectContaining({ type: "user.tool_confirmation", result: "deny", deny_message: "not on this machine" }),
    );
    expect(events.filter(({ type }) => type === "user.message")).toHaveLength(1);
  });

  test("a custom tool is answered, or fails", async () => {
    expect((await chat("ask the weather\nsun\n", await newSession())).stdout).toContain("The weather: sun\n");
    const id = await newSession();
    await chat("ask the weather\n!nobody knows\n", id);
    expect(await listEvents(id)).toContainEqual(
      expect.objectContaining({
        type: "user.custom_tool_result",
        is_error: true,
        content: [{ type: "text", text: "nobody knows" }],
      }),
    );
  });

  test("the end of the input before an answer is a failure that says what waits, and the next one goes on there", async () => {
    const id = await newSession();
    const { code, stderr } = await chat("ask the weather\n", id);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: "sandbox0: The input has ended and the session still waits for an answer to: get_weather.\n",
    });
    const next = await chat("rain\n", id);
    expect(next.code).toBe(0);
    expect(next.stdout).toMatch(/\? get_weather is yours to answer:\n[\s\S]*The weather: rain\n$/);
  });

  test("hostile output cannot steer the terminal", async () => {
    const { stdout } = await chat("be hostile\nn\n", await newSession());
    expect(stdout).toContain(String.raw`\x1b]0;owned\x07\u202e\x9b2J`);
    expect(stdout).toContain("done\n");
    expect(stdout).not.toMatch(STEERS);
  });

  test("what is not said is wrong use, what is not there the server's sentence", async () => {
    for (const argv of [[], ["--agent", agentId], ["sesn_1", "--agent", agentId]])
      expect(await chat("", ...argv)).toMatchObject({ code: 2, stderr: expect.stringContaining("chat --help") });
    expect(await chat("", "sesn_1")).toMatchObject({ code: 1, stderr: expect.stringContaining("sesn_1") });
  });
});

describe("Ctrl-C", () => {
  test("interrupts the turn, and the talk goes on", async () => {
    const id = await newSession();
    const line = server.start(["chat", id], { input: PIPE });
    line.child.stdin?.write("never end\n");
    await line.waitFor(/I work$/);
    line.child.kill("SIGINT");
    await line.waitFor(/interrupting; Ctrl-C once more leaves\n/);
    line.child.stdin?.end("first word\n");
    const { code, stdout } = await line.ended;
    expect(code).toBe(0);
    expect(stdout).toMatch(/First answer\.\n$/);
    expect((await listEvents(id)).map(({ type }) => type)).toContain("user.interrupt");
  });

  test("at a question takes the call back", async () => {
    const id = await newSession();
    const line = server.start(["chat", id], { input: PIPE });
    line.child.stdin?.write("run it\n");
    await line.waitFor(/Allow\? y, n, or why not:\n/);
    line.child.kill("SIGINT");
    await line.waitFor(/interrupting[\s\S]*← /);
    line.child.stdin?.end("first word\n");
    const { code, stdout } = await line.ended;
    expect(code).toBe(0);
    expect(stdout).toMatch(/First answer\.\n$/);
  });

  test("twice leaves, also when the server does not answer", async () => {
    const line = server.start(["chat", await newSession()], { input: PIPE });
    line.child.stdin?.write("never end\n");
    await line.waitFor(/I work$/);
    server.process.child.kill("SIGSTOP");
    try {
      line.child.kill("SIGINT");
      await line.waitFor(/interrupting/);
      line.child.kill("SIGINT");
      const { code, stdout } = await line.ended;
      expect(code).toBe(130);
      expect(stdout).toMatch(/the session goes on; join it again: sandbox0 chat sesn_\w+\n$/);
    } finally {
      server.process.child.kill("SIGCONT");
    }
  });
});

const hasScript = (() => {
  try {
    return execFileSync("script", ["--version"]).length > 0;
  } catch {
    return false;
  }
})();

/** The prompt is the last thing on the terminal, after `before`. */
const atPrompt = (before = ""): RegExp => new RegExp(`${before}[\\s\\S]*> (?:\\u001b\\[\\d+G)?$`);

test.skipIf(!hasScript)("on a terminal: a prompt, keys, Ctrl-C by its key, and Ctrl-D leaves", async () => {
  const id = await newSession();
  const command = `${process.execPath} ${new URL("../../bin/sandbox0.js", import.meta.url).pathname} chat ${id}`;
  const line = server.start([command, "/dev/null"], {
    launch: ["script", "-qec"],
    input: PIPE,
    environment: { TERM: "xterm", NO_COLOR: "1" },
  });
  const keys = (text: string) => line.child.stdin?.write(text);
  await line.waitFor(atPrompt());
  keys("run iX\x7ft\r");
  await line.waitFor(/Allow\? y, n, or why not: /);
  keys("y\r");
  await line.waitFor(atPrompt("It said: from-the-sandbox"));
  keys("never end\r");
  await line.waitFor(/I work/);
  keys("\x03");
  await line.waitFor(atPrompt("interrupting; Ctrl-C once more leaves"));
  keys("\x03");
  await line.waitFor(atPrompt("Ctrl-C once more, or Ctrl-D, leaves"));
  keys("\x04");
  expect((await line.ended).code).toBe(0);
  const said = (await listEvents(id)).filter(({ type }) => type === "user.message");
  expect(JSON.stringify(said)).toContain('"run it"');
});
