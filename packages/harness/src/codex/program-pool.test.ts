import { PassThrough } from "node:stream";
import type { ExecExit } from "@sandbox0/sandbox";
import { expect, test } from "vitest";
import type { HarnessSandbox } from "../port.ts";
import type { Launch } from "./launch.ts";
import { ProgramPool } from "./program-pool.ts";

const TIMES = { idleMs: 600_000, answerMs: 60_000, silenceMs: 60_000 };
const LAUNCH = { command: ["codex"], env: {}, cwd: "/workspace", initialize: {} } as unknown as Launch;

/** A sandbox whose programs answer every request, and whether its program was killed. */
function fakeSandbox(id: string) {
  const exit = Promise.withResolvers<ExecExit>();
  const state = { isKilled: false };
  const stdout = new PassThrough();
  const stdin = new PassThrough();
  stdin.on("data", (line: Buffer) => {
    const { id: requestId } = JSON.parse(line.toString("utf8").split("\n")[0] ?? "") as { id?: number };
    if (requestId !== undefined) stdout.write(`${JSON.stringify({ id: requestId, result: {} })}\n`);
  });
  const kill = (): void => {
    state.isKilled = true;
    exit.resolve({ code: null, signal: "SIGKILL" });
  };
  const child = { stdin, stdout, stderr: new PassThrough(), kill, exited: exit.promise };
  return { state, sandbox: { id, exec: async () => child } as unknown as HarnessSandbox };
}

test("of programs without a turn only so many are kept: the one that waits longest is ended", async () => {
  const pool = new ProgramPool(TIMES, 2);
  const [a, b, c, busy] = [fakeSandbox("a"), fakeSandbox("b"), fakeSandbox("c"), fakeSandbox("busy")];
  const all = { busy, a, b, c };
  for (const [threadId, { sandbox }] of Object.entries(all)) await pool.take(threadId, sandbox, LAUNCH);
  for (const threadId of ["b", "a"]) pool.release(threadId);
  // One that had another turn meanwhile waits anew.
  await pool.take("b", b.sandbox, LAUNCH);
  pool.release("b");
  expect(Object.values(all).map(({ state }) => state.isKilled)).toEqual([false, false, false, false]);
  pool.release("c");
  expect(Object.entries(all).filter(([, { state }]) => state.isKilled)).toEqual([["a", a]]);
  await pool.close();
  expect(Object.values(all).every(({ state }) => state.isKilled)).toBe(true);
});
