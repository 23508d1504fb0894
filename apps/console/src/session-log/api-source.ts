import { APIError } from "@anthropic-ai/sdk";
import type { SessionEvent, StreamPreview } from "@sandbox0/protocol";
import { apiPath } from "../api/api-path.ts";
import type { Client } from "../api/client.ts";
import type { EventPage, EventSource } from "./session-log.ts";

/** Statuses after which trying again is of no use. */
const FINAL: readonly number[] = [401, 403, 404];

/** A session's log over the API, as the SDK reads it. */
export function createApiSource(client: Client, sessionId: string): EventSource {
  return {
    list: (query, signal) => client.get<EventPage>(apiPath`/v1/sessions/${sessionId}/events`, { query, signal }),
    async stream(signal) {
      const params = { event_deltas: ["agent.message" as const, "agent.thinking" as const] };
      const stream = await client.beta.sessions.events.stream(sessionId, params, { signal, maxRetries: 0 });
      // The SDK's event types and ours are checked against each other in the protocol's tests.
      return stream as unknown as AsyncIterable<SessionEvent | StreamPreview>;
    },
    isFinal: (error) => error instanceof APIError && FINAL.includes(error.status ?? 0),
  };
}
