import type { ServerResponse } from "node:http";
import type { PreviewType } from "@sandbox0/protocol";
import { encodeFrame } from "@sandbox0/protocol";
import type { LivePreview } from "../log/bells.ts";
import type { FollowSink, LogFrame, Subscription } from "../log/follow.ts";
import { PreviewGate } from "./preview-gate.ts";

/** Encodes a preview once for all the streams it goes to. */
export type PreviewEncoder = (preview: LivePreview) => Buffer;

export function createPreviewEncoder(): PreviewEncoder {
  const frames = new WeakMap<LivePreview, Buffer>();
  return (preview) => {
    const known = frames.get(preview);
    if (known !== undefined) return known;
    const frame = Buffer.from(encodePreview(preview));
    frames.set(preview, frame);
    return frame;
  };
}

function encodePreview(preview: LivePreview): string {
  if (preview.type === "start") {
    return encodeFrame(
      "event_start",
      JSON.stringify({ type: "event_start", event: { type: preview.eventType, id: preview.eventId } }),
    );
  }
  const { eventId, index, text } = preview;
  const delta = { type: "content_delta", index, content: { type: "text", text } };
  return encodeFrame("event_delta", JSON.stringify({ type: "event_delta", event_id: eventId, delta }));
}

/**
 * One connection that follows a session. Frames go to the socket as they are; when it is full the log is asked to wait
 * and goes on from its cursor at drain, so a slow reader costs a socket buffer and loses nothing but previews.
 */
export class EventStream implements FollowSink {
  private readonly response: ServerResponse;
  private readonly head: Readonly<Record<string, string>>;
  private readonly gate: PreviewGate | null;
  private readonly encodePreview: PreviewEncoder;
  private subscription: Subscription | undefined;
  private started = false;
  /** When the socket became full, by `performance.now()`; `null` while it takes more. */
  private fullSince: number | null = null;
  private ended = false;
  private abandoned = false;

  constructor(
    response: ServerResponse,
    head: Readonly<Record<string, string>>,
    previews: ReadonlySet<PreviewType>,
    encodePreview: PreviewEncoder,
  ) {
    this.response = response;
    this.head = head;
    this.gate = previews.size > 0 ? new PreviewGate(previews) : null;
    this.encodePreview = encodePreview;
    response.on("drain", () => this.drained());
  }

  /** The subscription stands: headers at once, because clients wait for them before they send (contract §1.8). */
  start(subscription: Subscription): void {
    this.subscription = subscription;
    this.begin();
    // The client left while the subscription was made.
    if (this.abandoned) subscription.close();
  }

  events(frames: readonly LogFrame[]): boolean {
    if (this.ended) return false;
    this.begin();
    const { response } = this;
    let roomLeft = true;
    if (frames.length > 1) response.cork();
    for (const frame of frames) {
      this.gate?.passed(frame);
      roomLeft = response.write(frame.frame);
    }
    if (frames.length > 1) response.uncork();
    if (!roomLeft) this.fullSince ??= performance.now();
    return roomLeft;
  }

  preview(preview: LivePreview): void {
    if (this.gate === null || this.ended || this.fullSince !== null || !this.gate.admits(preview)) return;
    this.begin();
    if (!this.response.write(this.encodePreview(preview))) this.fullSince = performance.now();
  }

  end(): void {
    if (this.ended) return;
    this.ended = true;
    this.begin();
    this.response.end();
  }

  ping(frame: Buffer): void {
    if (!this.ended && this.started && this.fullSince === null) this.response.write(frame);
  }

  /** Milliseconds for which the reader has taken nothing. */
  stalledMs(now: number): number {
    return this.fullSince === null ? 0 : now - this.fullSince;
  }

  /** The connection is gone, or is given up. */
  abandon(): void {
    if (this.abandoned) return;
    this.abandoned = true;
    this.ended = true;
    this.subscription?.close();
    this.response.destroy();
  }

  private begin(): void {
    if (this.started) return;
    this.started = true;
    this.response.writeHead(200, this.head);
    // A first byte of the body: some proxies pass headers on only with it.
    this.response.write(": connected\n\n");
  }

  private drained(): void {
    if (this.fullSince === null) return;
    this.fullSince = null;
    if (!this.ended) this.subscription?.resume();
  }
}
