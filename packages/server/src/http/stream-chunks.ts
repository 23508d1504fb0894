import { PING_FRAME, type StreamPreview, encodeFrame } from "@sandbox0/protocol";
import type { LivePreview } from "../log/bells.ts";
import type { LogFrame } from "../log/follow.ts";

/**
 * What streams write, encoded once for all of them, as chunks of HTTP/1.1's chunked coding: one write to the socket for
 * each batch. Node's own `response.write` makes three of every frame and costs about twice as much; a body that ends with
 * the connection would be cheaper still, but then a server that dies looks like a session that ended.
 */
export interface StreamChunks {
  events(frames: readonly LogFrame[]): Buffer;
  preview(preview: LivePreview): Buffer;
  readonly ping: Buffer;
  /** The first bytes of a body: some proxies pass headers on only with them. */
  readonly hello: Buffer;
}

const CRLF = Buffer.from("\r\n");

function toChunk(parts: readonly Buffer[]): Buffer {
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Buffer.from(`${size.toString(16)}\r\n`), ...parts, CRLF]);
}

/** What is in a chunk, for HTTP/1.0: some proxies still speak it to the servers behind them. */
export function fromChunk(chunk: Buffer): Buffer {
  return chunk.subarray(chunk.indexOf(CRLF) + CRLF.length, -CRLF.length);
}

/** `frameName`: of every frame, instead of its event's type. */
export function createStreamChunks(frameName?: string): StreamChunks {
  const batches = new WeakMap<readonly LogFrame[], Buffer>();
  const previews = new WeakMap<LivePreview, Buffer>();
  const frameOf = ({ json, frame }: LogFrame): Buffer =>
    frameName === undefined ? frame : Buffer.from(encodeFrame(frameName, json));
  return {
    events(frames) {
      const known = batches.get(frames);
      if (known !== undefined) return known;
      const chunk = toChunk(frames.map(frameOf));
      batches.set(frames, chunk);
      return chunk;
    },
    preview(preview) {
      const known = previews.get(preview);
      if (known !== undefined) return known;
      const event = previewEvent(preview);
      const chunk = toChunk([Buffer.from(encodeFrame(frameName ?? event.type, JSON.stringify(event)))]);
      previews.set(preview, chunk);
      return chunk;
    },
    ping: toChunk([Buffer.from(PING_FRAME)]),
    hello: toChunk([Buffer.from(": connected\n\n")]),
  };
}

function previewEvent(preview: LivePreview): StreamPreview {
  if (preview.type === "start") return { type: "event_start", event: { type: preview.eventType, id: preview.eventId } };
  const { eventId, index, text } = preview;
  return { type: "event_delta", event_id: eventId, delta: { type: "content_delta", index, content: { type: "text", text } } };
}
