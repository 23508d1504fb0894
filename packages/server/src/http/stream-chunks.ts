import type { IncomingHttpHeaders } from "node:http";
import { PING_FRAME, type StreamPreview, encodeFrame } from "@sandbox0/protocol";
import type { LivePreview } from "../log/bells.ts";
import type { LogFrame } from "../log/follow.ts";

/**
 * What streams write, encoded once for all of them, as chunks of HTTP/1.1's chunked coding: one write to the socket for
 * each batch. Node's own `response.write` makes three of every frame and costs about twice as much; a body that ends with
 * the connection would be cheaper still, but then a server that dies looks like a session that ended.
 */
export interface StreamChunks {
  events(frames: readonly LogFrame[], naming: FrameNaming): Buffer;
  preview(preview: LivePreview, naming: FrameNaming): Buffer;
  readonly ping: Buffer;
  /** The first bytes of a body: some proxies pass headers on only with them. */
  readonly hello: Buffer;
}

/** What stands in a frame's `event:` line: the event's type, as documented, or `message` for all of them. */
export type FrameNaming = "type" | "message";

/**
 * Official SDKs before 1.0 for JavaScript, and those for other languages, drop frames whose name is not on a list of
 * theirs: the oldest know no event of a session at all, the newer ones lack `session.usage` and `workflow_run.*`
 * (contract §7.1). `message` is on every list, and they take the type from the data.
 */
export function namingFor(headers: IncomingHttpHeaders): FrameNaming {
  const language = headers["x-stainless-lang"];
  if (language === undefined) return "type";
  const major = Number.parseInt(String(headers["x-stainless-package-version"]), 10);
  return language === "js" && major >= 1 ? "type" : "message";
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
export function createStreamChunks(): StreamChunks {
  const encoders = { type: createEncoder("type"), message: createEncoder("message") };
  return {
    events: (frames, naming) => encoders[naming].events(frames),
    preview: (preview, naming) => encoders[naming].preview(preview),
    ping: toChunk([Buffer.from(PING_FRAME)]),
    hello: toChunk([Buffer.from(": connected\n\n")]),
  };
}

function createEncoder(naming: FrameNaming) {
  const batches = new WeakMap<readonly LogFrame[], Buffer>();
  const previews = new WeakMap<LivePreview, Buffer>();
  const encode = (type: string, json: string): Buffer => Buffer.from(encodeFrame(naming === "type" ? type : "message", json));
  return {
    events(frames: readonly LogFrame[]): Buffer {
      const known = batches.get(frames);
      if (known !== undefined) return known;
      const chunk = toChunk(frames.map(({ type, json, frame }) => (naming === "type" ? frame : encode(type, json))));
      batches.set(frames, chunk);
      return chunk;
    },
    preview(preview: LivePreview): Buffer {
      const known = previews.get(preview);
      if (known !== undefined) return known;
      const event = previewEvent(preview);
      const chunk = toChunk([encode(event.type, JSON.stringify(event))]);
      previews.set(preview, chunk);
      return chunk;
    },
  };
}

function previewEvent(preview: LivePreview): StreamPreview {
  if (preview.type === "start") return { type: "event_start", event: { type: preview.eventType, id: preview.eventId } };
  const { eventId, index, text } = preview;
  return { type: "event_delta", event_id: eventId, delta: { type: "content_delta", index, content: { type: "text", text } } };
}
