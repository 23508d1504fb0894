import { setTimeout as delay } from "node:timers/promises";
import type Anthropic from "@anthropic-ai/sdk";
import { APIConnectionError, APIError } from "@anthropic-ai/sdk";
import type { SessionEvent, StreamEvent } from "./event-line.ts";

/** Attempts in a row without a single event before giving up: with the delays, one and a half minutes. */
const RECONNECTS_MAX = 20;
const RECONNECT_DELAY_MS = 250;
const RECONNECT_DELAY_MAX_MS = 5_000;
/** Deliveries remembered to drop those that come twice: more than one page of history and a stream's start overlap. */
const SEEN_MAX = 20_000;

export interface FollowOptions {
  /** Previews to ask for, which come as they are: never in the history, and lost when a connection breaks. */
  previews?: ("agent.message" | "agent.thinking")[];
  /** The history has been read: what comes from now on is new. Once. */
  onLive?(): void;
  /** The connection broke, and is made again. */
  onBreak?(): void;
  /** Ends it without an error. */
  signal?: AbortSignal;
}

/**
 * The events of a session, each delivery once and in order: the history, then what comes. A stream has no replay, so it
 * is opened first and the history read after; when it breaks, both are done again from the last event on.
 *
 * @throws the SDK's errors: of the first connection at once, later once reconnecting has failed `RECONNECTS_MAX` times in
 *   a row or when the answer is final
 */
export async function* followSession(
  client: Anthropic,
  sessionId: string,
  options: FollowOptions = {},
): AsyncGenerator<StreamEvent> {
  const seen = new Set<string>();
  const { signal } = options;
  const ended = (): boolean => signal?.aborted === true;
  let since: string | undefined;
  let wasLive = false;
  const live = (): void => {
    if (!wasLive) options.onLive?.();
    wasLive = true;
  };
  for (let attempt = 0; !ended(); attempt += 1) {
    try {
      for await (const event of followOnce(client, sessionId, { ...options, since, live })) {
        if (!remember(seen, event)) continue;
        if ("processed_at" in event && event.processed_at) since = event.processed_at;
        attempt = 0;
        yield event;
        if (event.type === "session.deleted" || event.type === "session.status_terminated") return;
      }
    } catch (error) {
      if (ended()) return;
      const never = !wasLive && seen.size === 0;
      if (never || !canReconnect(error) || attempt >= RECONNECTS_MAX) throw error;
    }
    if (attempt === 0 && !ended()) options.onBreak?.();
    await pause(Math.min(RECONNECT_DELAY_MS * 2 ** attempt, RECONNECT_DELAY_MAX_MS), signal);
  }
}

async function* followOnce(
  client: Anthropic,
  sessionId: string,
  { since, live, previews = [], signal }: FollowOptions & { since: string | undefined; live(): void },
): AsyncGenerator<StreamEvent> {
  const { events } = client.beta.sessions;
  const request = signal === undefined ? {} : { signal };
  const stream = await events.stream(sessionId, previews.length === 0 ? {} : { event_deltas: previews }, request);
  try {
    yield* events.list(sessionId, since === undefined ? {} : { "created_at[gte]": since }, request);
    live();
    yield* stream;
  } finally {
    stream.controller.abort();
  }
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(ms, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
}

/** A preview is no event of the log: it has no id of its own, and comes on one connection only. */
export const isPreview = (event: StreamEvent): event is Exclude<StreamEvent, SessionEvent> =>
  event.type === "event_start" || event.type === "event_delta";

/**
 * @returns false for a delivery seen before. An input comes twice, admitted and promoted: those are two. A stream that was
 *   opened while a message was written still holds its previews when the message has come with the history.
 */
function remember(seen: Set<string>, event: StreamEvent): boolean {
  if (isPreview(event)) {
    const id = event.type === "event_start" ? event.event.id : event.event_id;
    return !seen.has(`${id} promoted`);
  }
  if (!("id" in event)) return true;
  const key = `${event.id} ${"processed_at" in event && event.processed_at ? "promoted" : "admitted"}`;
  if (seen.has(key)) return false;
  seen.add(key);
  if (seen.size > SEEN_MAX) for (const oldest of seen.keys().take(1)) seen.delete(oldest);
  return true;
}

function canReconnect(error: unknown): boolean {
  if (error instanceof APIConnectionError) return true;
  if (error instanceof APIError) return error.status === undefined || error.status >= 500 || error.status === 429;
  // A body cut in the middle reaches us as the fetch implementation's own error.
  return error instanceof TypeError || (error instanceof Error && error.name === "AbortError");
}
