import type { AssistantMessage, AssistantMessageEvent } from "@earendil-works/pi-ai";
import type { Effects } from "../port.ts";

export interface Previewer {
  see(event: AssistantMessageEvent): void;
  /** The message's text blocks as they go onto the log, and the ids the previews were made under. */
  settle(response: AssistantMessage): { texts: string[]; messageId?: string; thinkingId?: string };
}

interface TextState {
  /** What has been previewed: a prefix of what the log will have. */
  sent: string;
  /** Blank so far: a block that stays blank is dropped, so it is not shown. */
  blank: string;
  /** Position among the message's text blocks; `null` before anything was shown. */
  index: number | null;
  ended: boolean;
  /** Its position was not certain when its text came: no previews of it (contract §7.9 lets them be dropped). */
  muted: boolean;
}

/**
 * Turns a stream into previews that keep the contract (§7.9, semantics §5.8): one start an id, indexes without a gap,
 * and the text of an index always a prefix of the final one.
 */
export function createPreviewer(effects: Pick<Effects, "preview" | "newEventId">): Previewer {
  const blocks = new Map<number, TextState>();
  let messageId: string | undefined;
  let thinkingId: string | undefined;

  const state = (contentIndex: number): TextState => {
    const known = blocks.get(contentIndex);
    if (known !== undefined) return known;
    const block = { sent: "", blank: "", index: null, ended: false, muted: false };
    blocks.set(contentIndex, block);
    return block;
  };
  const earlier = (contentIndex: number): TextState[] =>
    [...blocks].filter(([index]) => index < contentIndex).map(([, block]) => block);
  const show = (block: TextState, text: string): void => {
    if (messageId === undefined) {
      messageId = effects.newEventId();
      effects.preview({ type: "start", eventType: "agent.message", eventId: messageId });
    }
    block.sent += text;
    effects.preview({ type: "text", eventId: messageId, index: block.index ?? 0, text });
  };
  const text = (contentIndex: number, delta: string): void => {
    const block = state(contentIndex);
    if (block.muted) return;
    if (block.index !== null) {
      show(block, delta);
      return;
    }
    block.blank += delta;
    if (block.blank.trim() === "") return;
    const before = earlier(contentIndex);
    block.muted = before.some((other) => !other.ended || other.muted);
    if (block.muted) return;
    block.index = before.filter((other) => other.index !== null).length;
    show(block, block.blank);
  };

  return {
    see(event) {
      if (event.type === "text_start") state(event.contentIndex);
      else if (event.type === "text_delta") text(event.contentIndex, event.delta);
      else if (event.type === "text_end") state(event.contentIndex).ended = true;
      else if (event.type === "thinking_start" && thinkingId === undefined) {
        thinkingId = effects.newEventId();
        effects.preview({ type: "start", eventType: "agent.thinking", eventId: thinkingId });
      }
    },
    settle(response) {
      const texts = response.content.flatMap((content, index) => {
        if (content.type !== "text") return [];
        const sent = blocks.get(index)?.sent ?? "";
        // A provider whose final text contradicts its own deltas: what was shown stays true.
        const final = content.text.startsWith(sent) ? content.text : sent;
        return final.trim() === "" ? [] : [final];
      });
      return { texts, ...(messageId === undefined ? {} : { messageId }), ...(thinkingId === undefined ? {} : { thinkingId }) };
    },
  };
}
