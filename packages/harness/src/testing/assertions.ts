import assert from "node:assert/strict";
import type { ScriptedRequest } from "@sandbox0/testkit";
import type { TestSession } from "./test-session.ts";

/** Event types of the log, in order, for comparing whole turns. */
export function types(session: TestSession): string[] {
  return session.log.map(({ event }) => event.type);
}

/** The texts of every agent message, one string a message, blocks joined by `|`. */
export function messages(session: TestSession): string[] {
  return session
    .events("agent.message")
    .map(({ content }) => content.map((block) => ("text" in block ? block.text : "")).join("|"));
}

/**
 * The promise of previews (contract §7.9, semantics §5.8): one start an id, before its text; indexes without a gap; and
 * for each message on the log, the previewed text of each index a prefix of the final text.
 */
export function assertPreviewsHold(session: TestSession): void {
  const started = new Set<string>();
  const texts = new Map<string, string[]>();
  for (const preview of session.previews) {
    if (preview.type === "start") {
      assert.ok(!started.has(preview.eventId), "a second start of one id");
      started.add(preview.eventId);
      continue;
    }
    assert.ok(started.has(preview.eventId), "text before its start");
    const blocks = texts.get(preview.eventId) ?? [];
    assert.ok(preview.index <= blocks.length, "a gap between the indexes");
    blocks[preview.index] = (blocks[preview.index] ?? "") + preview.text;
    texts.set(preview.eventId, blocks);
  }
  for (const event of session.events("agent.message")) {
    for (const [index, text] of (texts.get(event.id) ?? []).entries()) {
      const final = event.content[index];
      assert.ok(
        final?.type === "text" && final.text.startsWith(text),
        `previewed ${JSON.stringify(text)}, final ${JSON.stringify(final)}`,
      );
    }
  }
}

/** Nothing is left open: every span has its end, every call one result. */
export function assertClosed(session: TestSession): void {
  const starts = session.events("span.model_request_start").map(({ id }) => id);
  assert.deepEqual(
    session.events("span.model_request_end").map((end) => end.model_request_start_id),
    starts,
  );
  const calls = [
    ...session.events("agent.tool_use"),
    ...session.events("agent.mcp_tool_use"),
    ...session.events("agent.custom_tool_use"),
  ].map(({ id }) => id);
  const results = [
    ...session.events("agent.mcp_tool_result").map((result) => result.mcp_tool_use_id),
    ...session.events("agent.tool_result").map((result) => result.tool_use_id),
    ...session.events("user.custom_tool_result").map((result) => result.custom_tool_use_id),
  ];
  assert.deepEqual(results.toSorted(), calls.toSorted());
}

/** What the model was given back in its last request, call by call, in the order it had asked for. */
export function lastGiven(request: ScriptedRequest | undefined): string[] {
  const messages = request?.messages ?? [];
  const at = messages.findLastIndex((candidate) => candidate.results.length > 0);
  const asked =
    messages
      .slice(0, at)
      .findLast(({ role }) => role === "assistant")
      ?.calls.map(({ id }) => id) ?? [];
  const results = messages[at]?.results ?? [];
  return results.toSorted((a, b) => asked.indexOf(a.callId) - asked.indexOf(b.callId)).map((result) => result.text);
}
