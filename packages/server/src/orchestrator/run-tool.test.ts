import { SandboxError, type SandboxPool } from "@sandbox0/sandbox";
import { expect, test } from "vitest";
import type { EventLog } from "../log/event-log.ts";
import type { ProvisionPart } from "../provision/port.ts";
import { createProvision } from "../provision/provision.ts";
import { runSandboxTool } from "./run-tool.ts";
import { createSandboxOfTurn } from "./sandbox-of-turn.ts";
import { createHeldTurn, type HeldTurn, stopTurn } from "./turn.ts";

/** Nothing of these tests writes to the log. */
const NO_LOG = {} as EventLog;
const CLAIMED = { volume: { id: "vol_1", path: "" }, sandbox: { id: "1.2.3" } };
const CALL = { name: "bash", input: { command: "true" } };

function held(): HeldTurn {
  const session = { thread_id: "sthr_1", agent: { name: "a", tools: [] }, harness: "sandpi" };
  const head = { sessionId: "sesn_1", leaseGeneration: 3, steps: 0, inboxPosition: 0 };
  return createHeldTurn(session as never, { transcript: [] }, head as never, Number.POSITIVE_INFINITY);
}

/** A pool whose sandbox records what it is asked to run. */
function poolWith(claim: () => Promise<{ volume: { id: string } }>): {
  pool: SandboxPool;
  ran: { name: string; aborted: boolean }[];
  environments: object[];
} {
  const ran: { name: string; aborted: boolean }[] = [];
  const environments: object[] = [];
  const tools = {
    async call(name: string, _input: unknown, { signal }: { signal: AbortSignal }) {
      ran.push({ name, aborted: signal.aborted });
      return { content: [{ type: "text", text: "done" }], isError: false };
    },
    setEnvironment: (environment: object) => void environments.push(environment),
  };
  return { pool: { claim: async () => ({ ...(await claim()), tools }) } as unknown as SandboxPool, ran, environments };
}

function run(
  pool: SandboxPool,
  turn: HeldTurn,
  call: typeof CALL | { name: string; input: object } = CALL,
  parts: readonly ProvisionPart[] = [],
) {
  const sandboxes = createSandboxOfTurn({ log: NO_LOG, pool, provision: createProvision(parts), record: () => undefined });
  return runSandboxTool({ sandboxes, environmentOf: async () => ({ TOKEN: "placeholder" }) }, turn, call as typeof CALL);
}

test("where the session's files are is settled before the claim, once a turn; nothing runs when they cannot be had", async () => {
  const done: string[] = [];
  const { pool, ran } = poolWith(async () => {
    done.push("claim");
    return CLAIMED;
  });
  const place = async (): Promise<void> => void done.push("place");
  const turn = held();
  await run(pool, turn, CALL, [{ name: "volumes", place }]);
  await run(pool, turn, CALL, [{ name: "volumes", place }]);
  expect(done).toEqual(["place", "claim", "claim"]);
  const refuse = (): Promise<void> => Promise.reject(new SandboxError("unavailable", "they are elsewhere"));
  const result = await run(pool, held(), CALL, [{ name: "volumes", place: refuse }]);
  expect(result).toMatchObject({ isError: true, content: [{ text: "The sandbox is not available: they are elsewhere" }] });
  expect(ran).toHaveLength(2);
});

test("a turn that is stopped while it waits for a sandbox waits no longer", async () => {
  const turn = held();
  const { pool, ran } = poolWith(() => new Promise(() => undefined));
  const running = run(pool, turn);
  stopTurn(turn, "interrupted");
  expect(await running).toMatchObject({ isError: true });
  expect(ran).toEqual([]);
});

test("a sandbox that cannot be had is an error result; anything else is thrown", async () => {
  const failing = (error: Error) => poolWith(() => Promise.reject(error)).pool;
  const result = await run(failing(new SandboxError("limit", "full")), held());
  expect(result).toEqual({ content: [{ type: "text", text: "The sandbox is not available: full" }], isError: true });
  await expect(run(failing(new Error("bug")), held())).rejects.toThrow("bug");
});

test("commands find the placeholders of the session; the file tools need none", async () => {
  const { pool, environments } = poolWith(async () => CLAIMED);
  await run(pool, held(), { name: "read", input: { file_path: "a" } });
  expect(environments).toEqual([]);
  await run(pool, held());
  expect(environments).toEqual([{ TOKEN: "placeholder" }]);
});

test("what the session is given is there before its first call, once a turn; what a part says stands behind the result", async () => {
  const { pool } = poolWith(async () => CLAIMED);
  const done: string[] = [];
  const part: ProvisionPart = {
    name: "files",
    fill: async () => void done.push("fill"),
    ready: async () => void done.push("ready"),
    afterCall: async () => ["1 file was refused."],
  };
  const turn = held();
  const results = [run(pool, turn, CALL, [part]), run(pool, turn, CALL, [part])];
  const texts = (await Promise.all(results)).map(({ content }) => content.map((block) => "text" in block && block.text));
  expect(texts).toEqual([
    ["done", "1 file was refused."],
    ["done", "1 file was refused."],
  ]);
  expect(done).toEqual(["fill", "ready"]);
});

test("a part that could not provide it fails the call, and is tried again by the next one", async () => {
  const { pool, ran } = poolWith(async () => CLAIMED);
  let tries = 0;
  const part: ProvisionPart = {
    name: "volume",
    fill: async () => {
      tries += 1;
      if (tries === 1) throw new SandboxError("unavailable", "its files are not back yet");
    },
  };
  const turn = held();
  const first = await run(pool, turn, CALL, [part]);
  expect(first).toMatchObject({ isError: true, content: [{ text: expect.stringContaining("not back yet") }] });
  expect(ran).toEqual([]);
  expect(await run(pool, turn, CALL, [part])).toMatchObject({ isError: false });
});
