import assert from "node:assert/strict";
import { text } from "node:stream/consumers";
import { byMarker, call, createGate, createScriptedProvider, hold, say, type Script, type Step, until } from "@sandbox0/testkit";
import { afterAll, expect, test } from "vitest";
import type { HarnessSandbox, TurnOutcome } from "../port.ts";
import { createTestSession, openSandboxStage, type TestSession, type TestSessionOptions, textResult } from "../testing/index.ts";
import { type CodexTimes, createCodex } from "./codex.ts";
import { findCodexProgram } from "./find-codex-program.ts";

const found = findCodexProgram();
if ("unavailable" in found) throw new Error(found.unavailable);
const program = found;
const stage = await openSandboxStage([program]);
afterAll(() => stage.close());

const TIMEOUT = { timeout: 300_000 };
const API_KEY = "sk-test-0123456789-program";
const END: TurnOutcome = { type: "idle", stopReason: "end_turn" };
const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg==";

type Process = Awaited<ReturnType<HarnessSandbox["exec"]>>;
type Exec = HarnessSandbox["exec"];

interface Scene {
  codex: ReturnType<typeof createCodex>;
  session: TestSession;
  provider: Awaited<ReturnType<typeof createScriptedProvider>>;
  /** Every program that was started, in order. */
  programs: Process[];
}

interface SceneOptions extends Omit<TestSessionOptions, "provider" | "openSandbox"> {
  script: Readonly<Record<string, readonly (Step | Script)[]>>;
  times?: Partial<CodexTimes>;
  /** Starts something else in the program's place. */
  replace?: (exec: Exec, started: number) => Exec;
}

/** One session with its program and provider; nothing of it is left behind it. */
async function withScene(
  { script, times, replace, ...options }: SceneOptions,
  run: (scene: Scene) => Promise<void>,
): Promise<void> {
  const provider = await createScriptedProvider({ apiKey: API_KEY });
  provider.onRequest(byMarker(script));
  const codex = createCodex({ program, ...(times === undefined ? {} : { times }) });
  const programs: Process[] = [];
  const config = {
    api: "openai-responses" as const,
    baseUrl: provider.url,
    apiKey: "",
    contextWindow: 200_000,
    outputTokensMax: 32_000,
  };
  const openSandbox = async (sessionId: string): Promise<HarnessSandbox> => {
    const sandbox = await stage.open(sessionId, { url: provider.url, apiKey: API_KEY });
    const exec: Exec = async (...asked) => {
      const started = await (replace?.(sandbox.exec, programs.length) ?? sandbox.exec)(...asked);
      programs.push(started);
      return started;
    };
    return { ...sandbox, exec };
  };
  const session = createTestSession({ provider: config, openSandbox, ...options });
  try {
    await run({ codex, session, provider, programs });
  } finally {
    await codex.close();
    await Promise.all(programs.map(({ exited }) => exited));
    await stage.forget(session.sessionId);
    await provider.close();
  }
}

test("keeps one program for the next turn, ends it after a while, and starts another from the log", TIMEOUT, () =>
  withScene(
    { script: { "[a]": [say("A.")], "[b]": [say("B.")], "[c]": [say("C.")] }, times: { idleMs: 6_000 } },
    async (scene) => {
      const { codex, session, programs, provider } = scene;
      for (const marker of ["[a]", "[b]"]) {
        session.send(marker);
        expect(await session.run(codex)).toEqual(END);
      }
      expect(programs.length).toBe(1);
      await programs[0]?.exited;
      session.send("[c]");
      expect(await session.run(codex)).toEqual(END);
      expect(programs.length).toBe(2);
      expect(provider.requests.at(-1)?.messages.map((message) => message.text)).toEqual(["[a]", "A.", "[b]", "B.", "[c]"]);
      expect(provider.received).toBe(3);
    },
  ),
);

test("asks the model again with another program when one is killed, once", TIMEOUT, async () => {
  const gate = createGate();
  let asked = 0;
  const dies: Script = () => (asked++ === 0 ? [say("Half"), hold(gate)] : say("Whole."));
  await withScene({ script: { "[die]": [dies] } }, async ({ codex, session, programs }) => {
    session.send("[die]");
    const ended = session.run(codex);
    await gate.reached;
    programs[0]?.kill("SIGKILL");
    expect(await ended).toEqual(END);
    expect(programs.length).toBe(2);
    expect(session.events("agent.message").map(({ content }) => content)).toEqual([[{ type: "text", text: "Whole." }]]);
    expect(session.events("span.model_request_start").length).toBe(1);
  });
});

test("ends a program that stands still, and goes on with another", TIMEOUT, async () => {
  const gate = createGate();
  let asked = 0;
  const stalls: Script = () => (asked++ === 0 ? [say("Half"), hold(gate)] : say("Whole."));
  await withScene({ script: { "[stall]": [stalls] }, times: { silenceMs: 15_000 } }, async ({ codex, session, programs }) => {
    session.send("[stall]");
    const ended = session.run(codex);
    await gate.reached;
    programs[0]?.kill("SIGSTOP");
    expect(await ended).toEqual(END);
    expect(programs.length).toBe(2);
  });
});

const SILENT = "sleep 60";
const BROKEN: readonly [string, string, RegExp][] = [
  ["exits at once", "exit 3", /ended with code 3/],
  ["says why it cannot run", "echo no such luck >&2; exit 1", /no such luck/],
  ["prints garbage", "echo this is no message; sleep 60", /is no message/],
  ["answers what was not asked", 'echo "{\\"id\\":77,\\"result\\":{}}"; sleep 60', /nobody asked/],
  ["never answers", SILENT, /did not answer initialize/],
];

test.each(BROKEN)("fails the turn, to be tried again, when the program %s twice", TIMEOUT, (_, script, said) =>
  withScene(
    {
      script: { "[hello]": [say("Hello.")] },
      times: { answerMs: script === SILENT ? 10_000 : 60_000 },
      replace: (exec, started) => (started < 2 ? (_command, options) => exec(["/bin/sh", "-c", script], options) : exec),
    },
    async ({ codex, session, programs }) => {
      session.send("[hello]");
      const outcome = await session.run(codex);
      assert.ok(outcome.type === "failed", JSON.stringify(outcome));
      expect(outcome.error).toMatchObject({ kind: "unknown_error", disposition: "retryable" });
      expect(outcome.error.message).toMatch(said);
      expect(programs.length).toBe(2);
    },
  ),
);

test("offers the agent's tools and no other, and gives those with names that Codex keeps to itself", TIMEOUT, async () => {
  const names = ["bash", "mcp__docs__find", "exec_command"];
  const tools = Object.fromEntries(names.map((name) => [name, () => textResult(`ran ${name}`)]));
  const everything: Script = ({ toolNames }) => [
    ...toolNames.map((name) => call(name, {})),
    ...["apply_patch", "update_plan", "web_search", "spawn_agent"].map((name) => call(name, {})),
  ];
  await withScene({ script: { "[all]": [everything, say("Done.")] }, tools }, async ({ codex, session, provider }) => {
    session.send("[all]");
    expect(await session.run(codex)).toEqual(END);
    expect(provider.requests[0]?.toolNames.toSorted()).toEqual(["bash", "exec_command_", "mcp_docs__find"]);
    const used = session.events("agent.tool_use").map(({ name }) => name);
    expect(used.toSorted()).toEqual([...names, "apply_patch", "update_plan", "web_search", "spawn_agent"].toSorted());
    const results = session.events("agent.tool_result").map(({ is_error: isError }) => isError);
    expect(results.filter((isError) => isError).length).toBe(4);
  });
});

test("gives images and long results to the model whole", TIMEOUT, async () => {
  const long = "0123456789".repeat(20_000);
  const shot = () => ({
    content: [
      { type: "text" as const, text: long },
      { type: "image" as const, source: { type: "base64" as const, media_type: "image/png" as const, data: PNG } },
    ],
    isError: false,
  });
  await withScene(
    { script: { "[see]": [call("shot", {}), say("Seen.")], "[more]": [say("Yes.")] }, tools: { shot } },
    async (scene) => {
      const { codex, session, provider } = scene;
      session.send([
        { type: "text", text: "[see]" },
        { type: "image", source: { type: "base64", media_type: "image/png", data: PNG } },
      ]);
      expect(await session.run(codex)).toEqual(END);
      session.dropNative();
      session.send("[more]");
      expect(await session.run(codex)).toEqual(END);
      for (const { body } of provider.requests.slice(1)) {
        const sent = JSON.stringify(body);
        expect(sent.split(PNG).length).toBe(3);
        expect(sent).toContain(long);
      }
    },
  );
});

test.each(["low", "medium", "high", "xhigh", "max"] as const)("asks with the effort %s", TIMEOUT, (effort) =>
  withScene({ script: { "[hi]": [say("Hi.")] }, agent: { model: { id: "gpt-5.5", effort } } }, async (scene) => {
    scene.session.send("[hi]");
    expect(await scene.session.run(scene.codex)).toEqual(END);
    expect(scene.provider.requests[0]?.body.reasoning).toMatchObject({ effort });
    expect(scene.provider.requests[0]?.model).toBe("gpt-5.5");
  }),
);

test("says to the provider that the answer is wanted fast", TIMEOUT, () =>
  withScene({ script: { "[hi]": [say("Hi.")] }, agent: { model: { id: "gpt-5.5", speed: "fast" } } }, async (scene) => {
    scene.session.send("[hi]");
    expect(await scene.session.run(scene.codex)).toEqual(END);
    expect(scene.provider.requests[0]?.body.service_tier).toBe("priority");
  }),
);

test("keeps nothing where the agent's tools could find it", TIMEOUT, () =>
  withScene({ script: { "[hi]": [say("Hi.")] } }, async ({ codex, session, provider, programs }) => {
    session.send("[hi]");
    expect(await session.run(codex)).toEqual(END);
    const sandbox = await stage.open(session.sessionId, { url: provider.url, apiKey: API_KEY });
    const look = await sandbox.exec(["/bin/sh", "-c", "find $HOME /workspace /tmp /dev/shm -type f"]);
    look.stdin.end();
    expect(await text(look.stdout)).toBe("");
    await codex.close();
    expect(await programs[0]?.exited).toMatchObject({ signal: "SIGKILL" });
  }),
);

test("stops at once while a program does not come up", TIMEOUT, () =>
  withScene(
    {
      script: { "[hi]": [say("Hi.")] },
      replace: (exec, started) => (started === 0 ? (_command, options) => exec(["/bin/sleep", "600"], options) : exec),
    },
    async ({ codex, session, programs }) => {
      session.send("[hi]");
      const ended = session.run(codex);
      await until(() => programs.length === 1);
      session.stop();
      expect(await ended).toEqual({ type: "stopped" });
      await codex.close();
    },
  ),
);
