import type { SessionEvent } from "@sandbox0/protocol";
import { expect, test } from "vitest";
import { foldConversation, isRunning, openCalls, worksUnseen } from "./conversation.ts";

let count = 0;
function at(): string {
  count += 1;
  return new Date(1_000 * count).toISOString();
}
const event = (fields: Record<string, unknown> & { type: SessionEvent["type"] }): SessionEvent =>
  ({ id: `e${count + 1}`, processed_at: at(), ...fields }) as unknown as SessionEvent;

const running = () => event({ type: "session.status_running" });
const idle = (stop_reason: object) => event({ type: "session.status_idle", stop_reason, stop_details: null });
const use = (id: string, permission = "allow") =>
  event({ type: "agent.tool_use", id, name: "bash", input: {}, evaluated_permission: permission });
const custom = (id: string) => event({ type: "agent.custom_tool_use", id, name: "ask", input: {} });
const result = (id: string) => event({ type: "agent.tool_result", tool_use_id: id, content: [] });

test("calls have their confirmation and result; bookkeeping has no line", () => {
  const events = [
    event({ type: "user.message", content: [] }),
    running(),
    event({ type: "span.model_request_start" }),
    event({ type: "agent.thinking" }),
    event({ type: "agent.thinking" }),
    event({ type: "agent.message", content: [] }),
    use("a", "ask"),
    use("b"),
    event({ type: "user.tool_confirmation", tool_use_id: "a", result: "deny", deny_message: "no" }),
    result("b"),
    result("a"),
    idle({ type: "end_turn" }),
    event({ type: "session.usage", usage: {} }),
  ];
  const items = foldConversation(events, []);
  expect(items.map((item) => item.kind)).toEqual(["user", "thinking", "agent", "tool", "tool", "turn_end"]);
  expect(items[3]).toMatchObject({ id: "a", confirmation: { deny_message: "no" }, result: { tool_use_id: "a" } });
  expect(items[4]).toMatchObject({ id: "b", confirmation: null, result: { tool_use_id: "b" } });
  expect(items[5]).toMatchObject({ reason: { type: "end_turn" }, durationMs: 10_000 });
});

test("a result whose call is not loaded has no line; a queued message has one", () => {
  const items = foldConversation([result("elsewhere")], [event({ type: "user.message", processed_at: null, content: [] })]);
  expect(items).toMatchObject([{ kind: "user", queued: true }]);
});

test("open calls are those of the last stop that nobody answered", () => {
  const events = [use("a", "ask"), custom("b"), use("c"), idle({ type: "requires_action", event_ids: ["a", "b"] })];
  expect(openCalls(events, []).map(({ use: { id }, kind }) => [id, kind])).toEqual([
    ["a", "approval"],
    ["b", "custom"],
  ]);
  const answer = event({ type: "user.custom_tool_result", custom_tool_use_id: "b" });
  expect(openCalls([...events, answer], []).map(({ use: { id } }) => id)).toEqual(["a"]);
  expect(openCalls(events, [answer]).map(({ use: { id } }) => id)).toEqual(["a"]);
  expect(openCalls([...events, running()], [])).toEqual([]);
});

test("what runs without a sign of it: in the middle of a message, behind an answer, but not in a call or while it is written", () => {
  const unseen = (events: SessionEvent[], pending: SessionEvent[] = []) => worksUnseen(foldConversation(events, pending), 0);
  const asked = [event({ type: "user.message", content: [] }), running()];
  expect(unseen(asked)).toBe(true);
  expect(worksUnseen(foldConversation(asked, []), 1)).toBe(false);
  expect(unseen([...asked, use("a")])).toBe(false);
  expect(unseen([...asked, use("a")], [event({ type: "user.message", processed_at: null, content: [] })])).toBe(false);
  expect(unseen([...asked, use("a"), result("a")])).toBe(true);
  // The last line says that it waited for an answer, which it has now.
  const stopped = [...asked, use("b", "ask"), idle({ type: "requires_action", event_ids: ["b"] })];
  const confirmed = event({ type: "user.tool_confirmation", tool_use_id: "b", result: "allow" });
  expect(unseen([...stopped, confirmed, running(), result("b")])).toBe(true);
});

test("whether it runs is what the last status says", () => {
  expect(isRunning([])).toBeNull();
  expect(isRunning([running(), use("a")])).toBe(true);
  expect(isRunning([running(), idle({ type: "end_turn" }), event({ type: "session.usage", usage: {} })])).toBe(false);
});

test("many events are folded at once", () => {
  const events = Array.from({ length: 12_000 }, (_, n) => (n % 2 === 0 ? use(`c${n}`) : result(`c${n - 1}`)));
  expect(foldConversation(events, [])).toHaveLength(6_000);
});
