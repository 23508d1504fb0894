import type { Effects } from "../port.ts";

/** Shows a response while it arrives, block after block: one start an id, indexes without a gap (contract §7.9). */
export interface Previewer {
  openThinking(): void;
  openText(): void;
  text(delta: string): void;
  /** The block that is open has come whole. */
  closeText(final: string): void;
  /** The text blocks as they go onto the log, and the ids the previews were made under. */
  settle(): { texts: string[]; messageId?: string; thinkingId?: string };
  /** A text block began and never came whole: Codex drops what is not text, and that is a refusal. */
  readonly isTextOpen: boolean;
}

interface Block {
  /** What has been previewed: a prefix of what the log will have. */
  sent: string;
  /** Blank so far: a block that stays blank is dropped, so it is not shown. */
  blank: string;
  /** Position among the message's text blocks; `null` before anything was shown. */
  index: number | null;
  final: string | null;
}

export function createPreviewer(effects: Pick<Effects, "preview" | "newEventId">): Previewer {
  const blocks: Block[] = [];
  let open: Block | null = null;
  let messageId: string | undefined;
  let thinkingId: string | undefined;

  const openText = (): Block => {
    open = { sent: "", blank: "", index: null, final: null };
    blocks.push(open);
    return open;
  };
  const show = (block: Block, text: string): void => {
    if (messageId === undefined) {
      messageId = effects.newEventId();
      effects.preview({ type: "start", eventType: "agent.message", eventId: messageId });
    }
    block.index ??= blocks.filter((other) => other.index !== null).length;
    block.sent += text;
    effects.preview({ type: "text", eventId: messageId, index: block.index, text });
  };
  const add = (block: Block, delta: string): void => {
    if (block.index === null) block.blank += delta;
    if (block.index !== null) show(block, delta);
    else if (block.blank.trim() !== "") show(block, block.blank);
  };
  return {
    get isTextOpen() {
      return open !== null;
    },
    openThinking() {
      if (thinkingId !== undefined) return;
      thinkingId = effects.newEventId();
      effects.preview({ type: "start", eventType: "agent.thinking", eventId: thinkingId });
    },
    openText: () => void openText(),
    text: (delta) => add(open ?? openText(), delta),
    closeText(final) {
      const block = open ?? openText();
      block.final = final;
      // Its position is fixed before the next one's.
      if (block.index === null && final.trim() !== "") show(block, final);
      open = null;
    },
    settle() {
      const finals = blocks.map(({ sent, final }) => (final?.startsWith(sent) ? final : sent));
      return {
        texts: finals.filter((text) => text.trim() !== ""),
        ...(messageId === undefined ? {} : { messageId }),
        ...(thinkingId === undefined ? {} : { thinkingId }),
      };
    },
  };
}
