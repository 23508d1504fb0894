import { type PreviewType, invalidRequest } from "@sandbox0/protocol";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { FollowSink, Subscription } from "../log/follow.ts";
import { workspaceOf } from "./auth.ts";
import { EventStream } from "./event-stream.ts";
import { overloaded } from "./request-errors.ts";
import { createStreamChunks } from "./stream-chunks.ts";

/** Streams at once in this process: at 25 KiB each, 500 MB. */
export const STREAMS_MAX = 20_000;
/** Below every proxy's and undici's (300 s) patience with a silent body. */
export const PING_INTERVAL_MS = 15_000;
/** The official tool runner stops reading for up to two minutes while a tool runs; more than this is a dead reader. */
export const STALL_MS_MAX = 300_000;
/** What a reader has, once the server stops, to take what is in its socket. */
const LAST_FRAMES_MS = 2_000;

/** All event streams of this process: one timer pings them and gives up those whose reader is gone. */
export interface StreamHub {
  /** Follows until the client, the session or the server ends it. Errors of `follow` are thrown before anything is sent. */
  open(
    request: FastifyRequest,
    reply: FastifyReply,
    previews: readonly PreviewType[],
    follow: (sink: FollowSink) => Promise<Subscription>,
  ): Promise<FastifyReply>;
  size(): number;
  /** Ends every stream, those that do not take their end within a moment by force, and opens none any more. */
  close(): void;
}

export function createStreamHub(options: { streamsMax?: number; pingIntervalMs?: number; stallMsMax?: number } = {}): StreamHub {
  const { streamsMax = STREAMS_MAX, pingIntervalMs = PING_INTERVAL_MS, stallMsMax = STALL_MS_MAX } = options;
  const streams = new Set<EventStream>();
  const chunks = createStreamChunks();
  const chunksOfOldSdks = createStreamChunks(OLD_SDK_FRAME_NAME);
  const timer = setInterval(() => {
    const now = performance.now();
    for (const stream of streams) {
      if (stream.stalledMs(now) > stallMsMax) stream.abandon();
      else stream.ping();
    }
  }, pingIntervalMs);
  timer.unref();
  let closed = false;
  return {
    async open(request, reply, previews, follow) {
      if (closed || streams.size >= streamsMax) throw overloaded("Too many event streams are open; try again in a moment.");
      const head = streamHead(request.id, workspaceOf(request));
      const { socket } = reply.raw;
      if (socket === null) throw invalidRequest("An event stream cannot begin before the request before it was answered.");
      const own = isOldSdk(request) ? chunksOfOldSdks : chunks;
      const stream = new EventStream(reply.raw, socket, head, new Set(previews), own);
      streams.add(stream);
      // Also when the client leaves before the subscription stands.
      reply.raw.once("close", () => {
        streams.delete(stream);
        stream.abandon();
      });
      let subscription: Subscription;
      try {
        subscription = await follow(stream);
      } catch (error) {
        streams.delete(stream);
        throw error;
      }
      request.server.releaseSlot(request);
      reply.hijack();
      stream.start(subscription);
      return reply;
    },
    size: () => streams.size,
    close() {
      closed = true;
      clearInterval(timer);
      for (const stream of streams) stream.end();
      setTimeout(() => {
        for (const stream of streams) stream.abandon();
      }, LAST_FRAMES_MS).unref();
    },
  };
}

/**
 * SDKs before 1.0 drop every frame whose name is not on their list, and the first that had sessions knew no session event
 * at all (0.86). This name is on every list, and no SDK looks at it any further (contract §7.1).
 */
const OLD_SDK_FRAME_NAME = "message";
const OLD_SDK_VERSION = "2023-06-01";

function isOldSdk({ headers }: FastifyRequest): boolean {
  return headers["x-stainless-lang"] !== undefined && headers["anthropic-version"] === OLD_SDK_VERSION;
}

function streamHead(requestId: string, workspaceId: string): Record<string, string> {
  return {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    // Tells nginx not to collect the stream.
    "x-accel-buffering": "no",
    "request-id": requestId,
    "anthropic-workspace-id": workspaceId,
  };
}
