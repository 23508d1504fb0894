import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { PreviewType } from "@sandbox0/protocol";
import type { LivePreview } from "../log/bells.ts";
import type { FollowSink, LogFrame, Subscription } from "../log/follow.ts";
import { PreviewGate } from "./preview-gate.ts";
import { type StreamChunks, fromChunk } from "./stream-chunks.ts";

/**
 * One connection that follows a session. Chunks go to the socket as they are; when it is full the log is asked to wait
 * and goes on from its cursor at drain, so a slow reader costs a socket buffer and loses nothing but previews.
 */
export class EventStream implements FollowSink {
  private readonly response: ServerResponse;
  private readonly socket: Socket;
  private readonly head: Readonly<Record<string, string>>;
  private readonly gate: PreviewGate | null;
  private readonly chunks: StreamChunks;
  private subscription: Subscription | undefined;
  private started = false;
  /** When the socket became full, by `performance.now()`; `null` while it takes more. */
  private fullSince: number | null = null;
  private ended = false;
  private abandoned = false;

  /** `socket` is the response's own: nothing else writes to it until the response ends. */
  constructor(
    response: ServerResponse,
    socket: Socket,
    head: Readonly<Record<string, string>>,
    previews: ReadonlySet<PreviewType>,
    chunks: StreamChunks,
  ) {
    this.response = response;
    this.socket = socket;
    this.head = head;
    this.gate = previews.size > 0 ? new PreviewGate(previews) : null;
    this.chunks = chunks;
    socket.on("drain", this.drained);
  }

  /** The subscription stands: headers at once, because clients wait for them before they send (contract §1.8). */
  start(subscription: Subscription): void {
    this.subscription = subscription;
    if (!this.ended) this.begin();
    // The client left while the subscription was made.
    if (this.abandoned) subscription.close();
  }

  events(frames: readonly LogFrame[]): boolean {
    if (this.ended) return false;
    if (this.gate !== null) for (const frame of frames) this.gate.passed(frame);
    return this.write(this.chunks.events(frames));
  }

  preview(preview: LivePreview): void {
    if (this.gate === null || this.ended || this.fullSince !== null || !this.gate.admits(preview)) return;
    this.write(this.chunks.preview(preview));
  }

  end(): void {
    if (this.ended) return;
    this.begin();
    this.ended = true;
    this.response.end();
  }

  ping(): void {
    if (!this.ended && this.started && this.fullSince === null) this.write(this.chunks.ping);
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
    // The connection may serve other requests after this one.
    this.socket.off("drain", this.drained);
    this.subscription?.close();
    this.response.destroy();
  }

  private begin(): void {
    if (this.started) return;
    this.started = true;
    this.response.writeHead(200, this.head);
    this.response.flushHeaders();
    this.socket.write(this.encode(this.chunks.hello));
  }

  private encode(chunk: Buffer): Buffer {
    return this.response.chunkedEncoding ? chunk : fromChunk(chunk);
  }

  private write(chunk: Buffer): boolean {
    this.begin();
    const roomLeft = this.socket.write(this.encode(chunk));
    if (!roomLeft) this.fullSince ??= performance.now();
    return roomLeft;
  }

  private readonly drained = (): void => {
    if (this.fullSince === null) return;
    this.fullSince = null;
    if (!this.ended) this.subscription?.resume();
  };
}
