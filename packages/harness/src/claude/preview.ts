import type { Effects } from "../port.ts";

/** A block of a response on its way. */
export interface Part {
  block: { type: string } & Record<string, unknown>;
  text: string;
  /** Position among the message's text blocks; `null` before anything was shown: blank blocks are not. */
  shownAt: number | null;
}

/** Shows a response while it is written: one start an id, and indexes without a gap (contract §7.9). */
export interface Previewer {
  /** Adds to the part's text. */
  show(part: Part, delta: string): void;
  think(): void;
  /** The ids that were shown. */
  readonly ids: { messageId?: string; thinkingId?: string };
}

export function createPreviewer(effects: Pick<Effects, "preview" | "newEventId">): Previewer {
  const ids: { messageId?: string; thinkingId?: string } = {};
  let shown = 0;
  return {
    ids,
    show(part, delta) {
      part.text += delta;
      let text = delta;
      if (part.shownAt === null) {
        if (part.text.trim() === "") return;
        part.shownAt = shown++;
        text = part.text;
      }
      if (ids.messageId === undefined) {
        ids.messageId = effects.newEventId();
        effects.preview({ type: "start", eventType: "agent.message", eventId: ids.messageId });
      }
      effects.preview({ type: "text", eventId: ids.messageId, index: part.shownAt, text });
    },
    think() {
      if (ids.thinkingId !== undefined) return;
      ids.thinkingId = effects.newEventId();
      effects.preview({ type: "start", eventType: "agent.thinking", eventId: ids.thinkingId });
    },
  };
}
