import { MCP_REPLY_BYTES_MAX } from "./limits.ts";
import { tooLarge } from "./mcp-failure.ts";

/** Outbound requests of the server: guarded against private addresses (`@sandbox0/egress`). */
export type McpFetch = (url: string | URL, init?: RequestInit) => Promise<Response>;

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

function limit(isStream: boolean, onTooLarge: () => void): TransformStream<Uint8Array, Uint8Array> {
  const meter = isStream ? new EventMeter() : new BodyMeter();
  return new TransformStream({
    transform(chunk, controller) {
      if (meter.add(chunk) > MCP_REPLY_BYTES_MAX) {
        onTooLarge();
        controller.error(tooLarge());
        return;
      }
      for (const part of meter.take()) controller.enqueue(part);
    },
    flush(controller) {
      for (const part of meter.rest()) controller.enqueue(part);
    },
  });
}

class BodyMeter {
  #bytes = 0;
  #chunk: Uint8Array[] = [];

  add(chunk: Uint8Array): number {
    this.#chunk = [chunk];
    this.#bytes += chunk.length;
    return this.#bytes;
  }
  take(): Uint8Array[] {
    return this.#chunk;
  }
  rest(): Uint8Array[] {
    return [];
  }
}

/**
 * Counts the bytes since the last blank line, which ends an event, and gives on whole lines only: the parser behind it looks
 * through a line from its start for each piece of it, which a server could make it do a million times.
 */
class EventMeter {
  #bytes = 0;
  #lineIsEmpty = true;
  #previous = 0;
  #ready: Uint8Array[] = [];
  /** The beginning of a line, and room behind it. */
  #held = Buffer.alloc(0);
  #heldBytes = 0;

  add(chunk: Uint8Array): number {
    for (const byte of chunk) {
      this.#bytes++;
      const endsLine = byte === CR || (byte === LF && this.#previous !== CR);
      if (endsLine && this.#lineIsEmpty) this.#bytes = 0;
      if (endsLine) this.#lineIsEmpty = true;
      else if (byte !== LF) this.#lineIsEmpty = false;
      this.#previous = byte;
    }
    const end = Math.max(chunk.lastIndexOf(LF), chunk.lastIndexOf(CR)) + 1;
    if (end > 0) this.#ready = [Buffer.concat([...this.rest(), chunk.subarray(0, end)])];
    if (end < chunk.length) this.#hold(chunk.subarray(end));
    return this.#bytes;
  }

  #hold(piece: Uint8Array): void {
    const bytes = this.#heldBytes + piece.length;
    if (bytes > this.#held.length) {
      const roomier = Buffer.allocUnsafe(bytes * 2);
      this.#held.copy(roomier, 0, 0, this.#heldBytes);
      this.#held = roomier;
    }
    this.#held.set(piece, this.#heldBytes);
    this.#heldBytes = bytes;
  }

  take(): Uint8Array[] {
    return this.#ready.splice(0);
  }
  rest(): Uint8Array[] {
    const line = this.#held.subarray(0, this.#heldBytes);
    this.#held = Buffer.alloc(0);
    this.#heldBytes = 0;
    return line.length > 0 ? [line] : [];
  }
}
