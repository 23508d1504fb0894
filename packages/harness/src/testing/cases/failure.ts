import assert from "node:assert/strict";
import { call, cut, errorEvent, fail, inOrder, refuse, say, type Step } from "@sandbox0/testkit";
import type { TurnError, TurnOutcome } from "../../port.ts";
import { assertClosed, assertPreviewsHold, messages } from "../assertions.ts";
import type { CaseContext, HarnessCase } from "../harness-case.ts";
import { textResult } from "../test-session.ts";

type Expected = Pick<TurnError, "kind" | "disposition" | "retryAfterMs">;

const request = (disposition: TurnError["disposition"]): Expected => ({ kind: "model_request_failed_error", disposition });

/** What a provider can do wrong, and what the session must be told (semantics §6, contract §8.3). */
const FAILURES: readonly { name: string; step: Step; expected: Expected }[] = [
  {
    name: "429 with retry-after",
    step: fail(429, { retryAfterSeconds: 7 }),
    expected: { kind: "model_rate_limited_error", disposition: "retryable", retryAfterMs: 7_000 },
  },
  { name: "429 without", step: fail(429), expected: { kind: "model_rate_limited_error", disposition: "retryable" } },
  { name: "529", step: fail(529), expected: { kind: "model_overloaded_error", disposition: "retryable" } },
  { name: "503", step: fail(503), expected: { kind: "model_overloaded_error", disposition: "retryable" } },
  { name: "500", step: fail(500), expected: request("retryable") },
  { name: "402", step: fail(402), expected: { kind: "billing_error", disposition: "exhausted" } },
  {
    name: "quota",
    step: fail(429, { errorType: "insufficient_quota" }),
    expected: { kind: "billing_error", disposition: "exhausted" },
  },
  { name: "401", step: fail(401), expected: request("exhausted") },
  { name: "403", step: fail(403), expected: request("exhausted") },
  { name: "400", step: fail(400), expected: request("exhausted") },
  { name: "404", step: fail(404), expected: request("terminal") },
  { name: "cut before the answer", step: cut(), expected: request("retryable") },
  { name: "cut in the middle", step: [say("Half a sen"), cut()], expected: request("retryable") },
  {
    name: "cut in the middle of a call",
    step: [call("look", { value: "x".repeat(200) }), cut()],
    expected: request("retryable"),
  },
  { name: "error in the stream", step: [say("Half a sen"), errorEvent(500)], expected: request("retryable") },
];

const failureTable: readonly HarnessCase[] = FAILURES.map(({ name, step, expected }) => ({
  name: `states the error and leaves nothing of the response: ${name}`,
  async run({ harness, script, session }: CaseContext) {
    script({ "[fail]": [inOrder(step, say("Back again."))] });
    const test = session({ tools: { look: () => textResult("") } });
    test.send("[fail]");
    const error = failureOf(await test.run(harness));
    const { message, ...told } = error;
    assert.deepEqual(told, expected);
    assert.ok(message.length > 10, message);
    assert.deepEqual(messages(test), []);
    assert.equal(test.events("span.model_request_end")[0]?.is_error, true);
    // The same turn again, as the server retries it: nothing of the failure is in the way.
    assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
    assert.deepEqual(messages(test), ["Back again."]);
    assertClosed(test);
  },
}));

export const failureCases: readonly HarnessCase[] = [
  ...failureTable,
  {
    name: "tells an overloaded provider in the stream from a broken one",
    apis: ["anthropic-messages"],
    async run({ harness, script, session }) {
      script({ "[over]": [[say("Half"), errorEvent(529)]] });
      const test = session();
      test.send("[over]");
      assert.equal(failureOf(await test.run(harness)).kind, "model_overloaded_error");
    },
  },
  {
    name: "never shows the key, even when the provider says it",
    async run({ harness, script, session, provider }) {
      script({ "[key]": [() => fail(401, { message: `invalid key: ${keyOf(provider.requests.at(-1)?.headers ?? {})}` })] });
      const test = session();
      test.send("[key]");
      const outcome = await test.run(harness);
      const key = keyOf(provider.requests.at(-1)?.headers ?? {});
      assert.ok(key.length > 10);
      assert.ok(!JSON.stringify([outcome, test.log, test.previews]).includes(key));
    },
  },
  {
    name: "says that the model refused, and why",
    async run({ harness, api, script, session }) {
      script({ "[refuse]": [refuse("I will not help with that.", "cyber")], "[other]": [say("Gladly.")] });
      const test = session();
      test.send("[refuse]");
      const category = api === "anthropic-messages" ? "cyber" : null;
      const details = { type: "refusal", category, explanation: "I will not help with that." };
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "refusal", details });
      assertPreviewsHold(test);
      assertClosed(test);
      test.send("[other]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
    },
  },
  {
    name: "runs no call of a response that ends in a refusal",
    apis: ["anthropic-messages"],
    async run({ harness, script, session }) {
      script({ "[refuse]": [[say("First I"), call("look", {}), refuse("No.")]] });
      const test = session({ tools: { look: () => textResult("") } });
      test.send("[refuse]");
      assert.equal((await test.run(harness)).type, "idle");
      assert.deepEqual(test.events("agent.tool_use"), []);
      assert.deepEqual(messages(test), ["First I"]);
      assertPreviewsHold(test);
    },
  },
];

function failureOf(outcome: TurnOutcome): TurnError {
  assert.equal(outcome.type, "failed");
  return (outcome as Extract<TurnOutcome, { type: "failed" }>).error;
}

function keyOf(headers: Record<string, unknown>): string {
  return String(headers["x-api-key"] ?? String(headers.authorization).replace(/^Bearer /, ""));
}
