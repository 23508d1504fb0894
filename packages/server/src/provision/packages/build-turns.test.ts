import { setImmediate as nextRound } from "node:timers/promises";
import { expect, test } from "vitest";
import { BuildTurns } from "./build-turns.ts";

const FOREVER = new AbortController().signal;

/** Takes a turn for each; says who got theirs, in order. */
function ask(turns: BuildTurns, ...workspaces: string[]): string[] {
  const got: string[] = [];
  for (const workspace of workspaces) void turns.take(workspace, FOREVER).then(() => got.push(workspace));
  return got;
}

test("a workspace has one turn at a time, whatever it asks for", async () => {
  const turns = new BuildTurns(2);
  const got = ask(turns, "greedy", "greedy", "greedy", "other");
  await nextRound();
  expect(got).toEqual(["greedy", "other"]);
  turns.give("other");
  await nextRound();
  expect(got).toEqual(["greedy", "other"]);
});

test("workspaces that wait get turns in turn", async () => {
  const turns = new BuildTurns(1);
  const got = ask(turns, "a", "a", "a", "b", "b", "c");
  const order = ["a", "b", "c", "a", "b", "a"];
  for (const [index, workspace] of order.entries()) {
    await nextRound();
    expect(got).toEqual(order.slice(0, index + 1));
    turns.give(workspace);
  }
});

test("who waits no more takes nobody's turn", async () => {
  const turns = new BuildTurns(1);
  const leaving = new AbortController();
  await turns.take("a", FOREVER);
  const left = turns.take("b", leaving.signal);
  const got = ask(turns, "c");
  leaving.abort(new Error("gone"));
  await expect(left).rejects.toThrow("gone");
  turns.give("a");
  await nextRound();
  expect(got).toEqual(["c"]);
  await expect(turns.take("d", leaving.signal)).rejects.toThrow("gone");
});
