import type { PreviewType } from "@sandbox0/protocol";
import type { Notifier } from "../store/notify.ts";

/** A live-only piece of a message that is being written (contract §7.9). `offset`: characters of this index before it. */
export type LivePreview =
  | { type: "start"; eventType: PreviewType; eventId: string }
  | { type: "text"; eventId: string; index: number; offset: number; text: string };

const LOG_CHANNEL = "sandbox0_log";
const WAKE_CHANNEL = "sandbox0_wake";
const INTERRUPT_CHANNEL = "sandbox0_interrupt";
const PREVIEW_CHANNEL = "sandbox0_preview";
/** Characters of text in one preview hint: a NOTIFY payload has 8000 bytes, JSON escapes may need six for a character. */
const PREVIEW_CHARS_MAX = 1_200;

/** Hints between processes and within one. Each may be lost: whoever listens also looks at the rows now and then. */
export interface Bells {
  logged(sessionId: string, seq: number): void;
  deleted(sessionId: string): void;
  wake(sessionId: string): void;
  /** `position`: the last input that was admitted with the interrupt. */
  interrupt(sessionId: string, position: number): void;
  preview(sessionId: string, preview: LivePreview): void;
  onLogged(fn: (sessionId: string, seq: number | "deleted") => void): () => void;
  onWake(fn: (sessionId: string) => void): () => void;
  onInterrupt(fn: (sessionId: string, position: number) => void): () => void;
  onPreview(fn: (sessionId: string, preview: LivePreview) => void): () => void;
  /** Hints may have been missed: look at the rows. */
  onReconnect(fn: () => void): () => void;
}

export function createBells(notifier: Notifier): Bells {
  return {
    logged: (sessionId, seq) => notifier.publish(LOG_CHANNEL, `${sessionId} ${seq}`),
    deleted: (sessionId) => notifier.publish(LOG_CHANNEL, `${sessionId} deleted`),
    wake: (sessionId) => notifier.publish(WAKE_CHANNEL, sessionId),
    interrupt: (sessionId, position) => notifier.publish(INTERRUPT_CHANNEL, `${sessionId} ${position}`),
    preview(sessionId, preview) {
      for (const piece of cut(preview)) notifier.publish(PREVIEW_CHANNEL, JSON.stringify([sessionId, piece]));
    },
    onLogged: (fn) =>
      notifier.subscribe(LOG_CHANNEL, (payload) => {
        const [sessionId = "", seq = ""] = payload.split(" ");
        fn(sessionId, seq === "deleted" ? "deleted" : Number(seq));
      }),
    onWake: (fn) => notifier.subscribe(WAKE_CHANNEL, fn),
    onInterrupt: (fn) =>
      notifier.subscribe(INTERRUPT_CHANNEL, (payload) => {
        const [sessionId = "", position = ""] = payload.split(" ");
        fn(sessionId, Number(position));
      }),
    onPreview: (fn) =>
      notifier.subscribe(PREVIEW_CHANNEL, (payload) => {
        const [sessionId, preview] = JSON.parse(payload) as [string, LivePreview];
        fn(sessionId, preview);
      }),
    onReconnect: (fn) => notifier.onReconnect(fn),
  };
}

function cut(preview: LivePreview): LivePreview[] {
  if (preview.type === "start" || preview.text.length <= PREVIEW_CHARS_MAX) return [preview];
  const pieces: LivePreview[] = [];
  for (let at = 0; at < preview.text.length; at += PREVIEW_CHARS_MAX) {
    pieces.push({ ...preview, offset: preview.offset + at, text: preview.text.slice(at, at + PREVIEW_CHARS_MAX) });
  }
  return pieces;
}
