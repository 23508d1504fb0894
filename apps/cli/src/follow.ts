import { setTimeout as delay } from "node:timers/promises";
import type Anthropic from "@anthropic-ai/sdk";
import { APIConnectionError, APIError } from "@anthropic-ai/sdk";
import type { SessionEvent } from "./event-line.ts";

/** Attempts in a row without a single event before giving up. */
const RECONNECTS_MAX = 8;
const RECONNECT_DELAY_MS = 250;
const RECONNECT_DELAY_MAX_MS = 5_000;
/** Deliveries remembered to drop those that come twice: more than one page of history and a stream's start overlap. */
const SEEN_MAX = 20_000;

/**
 * The events of a session, each delivery once and in order: the history, then what comes. A stream has no replay, so it
 * is opened first and the history read after; when it breaks, both are done again from the last event on.
 *
 * @throws the SDK's errors once reconnecting has failed `RECONNECTS_MAX` times in a row, or at once when the answer is final
 */
export async function* followSession(client: Anthropic, sessionId: string): AsyncGenerator<SessionEvent> {
  const seen = new Set<string>();
  let since: string | undefined;
  for (let attempt = 0; ; attempt += 1) {
    try {
      for await (const event of followOnce(client, sessionId, since)) {
        if (!remember(seen, event)) continue;
        if ("processed_at" in event && event.processed_at) since = event.processed_at;
        attempt = 0;
        yield event;
        if (event.type === "session.deleted" || event.type === "session.status_terminated") return;
      }
    } catch (error) {
      if (!canReconnect(error) || attempt >= RECONNECTS_MAX) throw error;
    }
    await delay(Math.min(RECONNECT_DELAY_MS * 2 ** attempt, RECONNECT_DELAY_MAX_MS));
  }
}

async function* followOnce(client: Anthropic, sessionId: string, since: string | undefined): AsyncGenerator<SessionEvent> {
  const stream = await client.beta.sessions.events.stream(sessionId);
  try {
    yield* client.beta.sessions.events.list(sessionId, since === undefined ? {} : { "created_at[gte]": since });
    yield* stream;
  } finally {
    stream.controller.abort();
  }
}

/** @returns false for a delivery seen before. An input comes twice, admitted and promoted: those are two. */
function remember(seen: Set<string>, event: SessionEvent): boolean {
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
