import type { AssistantMessage, AssistantMessageEvent } from "@earendil-works/pi-ai";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Preview } from "../port.ts";
import { createPreviewer } from "./preview.ts";

type Content = AssistantMessage["content"];
const response = (content: Content): AssistantMessage => ({ content }) as AssistantMessage;

function play(events: Partial<AssistantMessageEvent>[]): { previews: Preview[]; settle: (content: Content) => string[] } {
  const previews: Preview[] = [];
  let ids = 0;
  const previewer = createPreviewer({ preview: (preview) => void previews.push(preview), newEventId: () => `id-${++ids}` });
  for (const event of events) previewer.see(event as AssistantMessageEvent);
  return { previews, settle: (content) => previewer.settle(response(content)).texts };
}

const start = (contentIndex: number) => ({ type: "text_start" as const, contentIndex });
const delta = (contentIndex: number, value: string) => ({ type: "text_delta" as const, contentIndex, delta: value });
const end = (contentIndex: number) => ({ type: "text_end" as const, contentIndex });
const shown = (previews: Preview[]) =>
  previews.map((preview) => (preview.type === "start" ? preview.eventType : `${preview.index}:${preview.text}`));

test("a block that stays blank is neither shown nor kept, and takes no index", () => {
  const { previews, settle } = play([
    start(0),
    delta(0, "\n"),
    delta(0, "\n"),
    end(0),
    start(1),
    delta(1, " "),
    delta(1, "Hi"),
    end(1),
  ]);
  expect(shown(previews)).toEqual(["agent.message", "0: Hi"]);
  expect(
    settle([
      { type: "text", text: "\n\n" },
      { type: "text", text: " Hi" },
    ]),
  ).toEqual([" Hi"]);
});

test("a block whose place is not certain yet is not shown, and kept", () => {
  const { previews, settle } = play([
    start(0),
    start(1),
    delta(1, "second"),
    delta(0, "first"),
    end(0),
    delta(1, " more"),
    end(1),
  ]);
  expect(shown(previews)).toEqual(["agent.message", "0:first"]);
  expect(
    settle([
      { type: "text", text: "first" },
      { type: "text", text: "second more" },
    ]),
  ).toEqual(["first", "second more"]);
});

test("what was shown stays true when the final text contradicts it", () => {
  const { settle } = play([start(0), delta(0, "shown"), end(0)]);
  expect(settle([{ type: "text", text: "other" }])).toEqual(["shown"]);
});

test("thinking starts once, however many blocks", () => {
  const thinking = { type: "thinking_start" as const, contentIndex: 0 };
  expect(shown(play([thinking, { ...thinking, contentIndex: 1 }]).previews)).toEqual(["agent.thinking"]);
});

test("for any stream, previews are a prefix of the final text, index by index, without a gap", () => {
  const pieces = fc.array(fc.tuple(fc.nat(3), fc.constantFrom("", " ", "\n", "a", "bc ", "😀")), { maxLength: 40 });
  fc.assert(
    fc.property(pieces, fc.boolean(), (stream, closed) => {
      const texts = ["", "", "", ""];
      const events: Partial<AssistantMessageEvent>[] = texts.map((_, index) => start(index));
      // Nothing follows the end of a block: with ends, the blocks come one after the other.
      for (const [index, piece] of closed ? stream.toSorted((a, b) => a[0] - b[0]) : stream) {
        if (closed) for (let before = 0; before < index; before++) events.push(end(before));
        texts[index] += piece;
        events.push(delta(index, piece));
      }
      const { previews, settle } = play(events);
      const final = settle(texts.map((value) => ({ type: "text", text: value })));
      const seen: string[] = [];
      for (const preview of previews) {
        if (preview.type !== "text") continue;
        expect(preview.index).toBeLessThanOrEqual(seen.length);
        seen[preview.index] = (seen[preview.index] ?? "") + preview.text;
      }
      for (const [index, text] of seen.entries())
        expect(final[index]?.startsWith(text), JSON.stringify([final, seen])).toBe(true);
    }),
  );
});
