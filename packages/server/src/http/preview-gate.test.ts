import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { LivePreview } from "../log/bells.ts";
import { PreviewGate } from "./preview-gate.ts";

const start = (eventId: string): LivePreview => ({ type: "start", eventType: "agent.message", eventId });
const text = (eventId: string, offset: number, piece: string, index = 0): LivePreview => ({
  type: "text",
  eventId,
  index,
  offset,
  text: piece,
});
const gate = () => new PreviewGate(new Set(["agent.message"]));

describe("a connection sees of previews", () => {
  test("only the types it asked for", () => {
    expect(gate().admits({ type: "start", eventType: "agent.thinking", eventId: "t" })).toBe(false);
    expect(gate().admits(start("m"))).toBe(true);
  });

  test("one start an event", () => {
    const one = gate();
    expect([one.admits(start("m")), one.admits(start("m"))]).toEqual([true, false]);
  });

  test("nothing of a message that began before it came", () => {
    const late = gate();
    expect(late.admits(text("m", 5, "world"))).toBe(false);
    expect(late.admits(start("n"))).toBe(true);
  });

  test("no deltas after one was lost", () => {
    const lossy = gate();
    lossy.admits(start("m"));
    expect(lossy.admits(text("m", 0, "ab"))).toBe(true);
    expect(lossy.admits(text("m", 4, "ef"))).toBe(false);
    expect(lossy.admits(text("m", 2, "cd"))).toBe(false);
  });

  test("no index before the one it follows", () => {
    const skipping = gate();
    skipping.admits(start("m"));
    expect(skipping.admits(text("m", 0, "x", 1))).toBe(false);
  });

  test("nothing after the event itself, not even a late start", () => {
    const over = gate();
    over.admits(start("m"));
    over.passed({ id: "m", type: "agent.message" });
    expect([over.admits(text("m", 0, "x")), over.admits(start("m"))]).toEqual([false, false]);
    over.passed({ id: "n", type: "agent.message" });
    expect(over.admits(start("n"))).toBe(false);
  });

  test("nothing after the end of the model request", () => {
    const ended = gate();
    ended.admits(start("m"));
    ended.passed({ id: "s", type: "span.model_request_end" });
    expect(ended.admits(text("m", 0, "x"))).toBe(false);
  });

  test("always a prefix of the text, whatever is lost, repeated or out of order", () => {
    const message = "the quick brown fox";
    const pieces = fc.array(fc.record({ offset: fc.nat(message.length), length: fc.integer({ min: 1, max: 6 }) }), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(pieces, (sent) => {
        const one = gate();
        one.admits(start("m"));
        let seen = "";
        for (const { offset, length } of sent) {
          const piece = message.slice(offset, offset + length);
          if (piece !== "" && one.admits(text("m", offset, piece))) seen += piece;
        }
        expect(message.startsWith(seen)).toBe(true);
      }),
    );
  });
});
