import type { McpFetch } from "./connection.ts";
import { MCP_REPLY_BYTES_MAX } from "./limits.ts";
import { tooLarge } from "./mcp-failure.ts";

const [LF, CR] = [0x0a, 0x0d];

/**
 * Cuts a reply that is too large. What a stream of events may hold at once is one event, and that is what is bounded of it;
 * it may go on for as long as the connection does.
 * @param onTooLarge told first: the library sees no more than a stream that broke
 */
export function boundReplies(fetch: McpFetch, onTooLarge: () => void): McpFetch {
  return async (url, init) => {
    const response = await fetch(url, init);
    if (!response.body) return response;
    const isStream = (response.headers.get("content-type") ?? "").toLowerCase().startsWith("text/event-stream");
    const body = response.body.pipeThrough(limit(isStream, onTooLarge));
    const { status, statusText, headers } = response;
    return Object.defineProperty(new Response(body, { status, statusText, headers }), "url", { value: response.url });
  };
}

function limit(perEvent: boolean, onTooLarge: () => void): TransformStream<Uint8Array, Uint8Array> {
  let bytes = 0;
  let lineIsEmpty = true;
  let previous = 0;
  /** Event streams: bytes since the last blank line, which ends an event. */
  const count = (chunk: Uint8Array): void => {
    if (!perEvent) {
      bytes += chunk.length;
      return;
    }
    for (const byte of chunk) {
      bytes++;
      const endsLine = byte === CR || (byte === LF && previous !== CR);
      if (endsLine && lineIsEmpty) bytes = 0;
      if (endsLine) lineIsEmpty = true;
      else if (byte !== LF) lineIsEmpty = false;
      previous = byte;
    }
  };
  return new TransformStream({
    transform(chunk, controller) {
      count(chunk);
      if (bytes <= MCP_REPLY_BYTES_MAX) {
        controller.enqueue(chunk);
        return;
      }
      onTooLarge();
      controller.error(tooLarge());
    },
  });
}
