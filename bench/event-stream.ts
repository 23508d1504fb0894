import type { Socket } from "node:net";
import { openSocket, requestHead } from "./http-connection.ts";

export interface StreamedEvent {
  type: string;
  [field: string]: unknown;
}

interface Waiter extends PromiseWithResolvers<number> {
  matches(event: StreamedEvent): boolean;
}

/** A session's event stream on a raw socket. Every event is kept until `clear`, with the time it was read. */
export class EventStream {
  readonly events: { event: StreamedEvent; at: number }[] = [];
  private readonly socket: Socket;
  private readonly waiters = new Set<Waiter>();
  private text = "";
  private broken: Error | undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
  }

  /** Resolves when the server follows the session: what is committed from now on will come. */
  static async open(url: string, apiKey: string, sessionId: string, query = ""): Promise<EventStream> {
    const socket = await openSocket(url);
    const stream = new EventStream(socket);
    const connected = Promise.withResolvers<void>();
    socket.setEncoding("utf8");
    let head = "";
    socket.on("data", (chunk: string) => {
      if (head.includes("\r\n\r\n")) return stream.take(chunk);
      head += chunk;
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      if (head.startsWith("HTTP/1.1 200")) connected.resolve();
      else connected.reject(new Error(`no stream: ${head}`));
      stream.take(head.slice(end + 4));
    });
    const fail = (error: Error) => {
      connected.reject(error);
      stream.fail(error);
    };
    socket.on("error", fail).on("close", () => fail(new Error("the stream was closed")));
    socket.write(`GET /v1/sessions/${sessionId}/events/stream${query} HTTP/1.1\r\n${requestHead(url, apiKey)}\r\n`);
    await connected.promise;
    return stream;
  }

  /** When the first event that matches was read, one that is there already or one to come; `performance.now()`. */
  seen(matches: (event: StreamedEvent) => boolean): Promise<number> {
    const known = this.events.find(({ event }) => matches(event));
    if (known) return Promise.resolve(known.at);
    const waiter = { ...Promise.withResolvers<number>(), matches };
    if (this.broken) waiter.reject(this.broken);
    else this.waiters.add(waiter);
    return waiter.promise;
  }

  clear(): void {
    this.events.length = 0;
  }

  close(): void {
    this.socket.destroy();
  }

  private take(chunk: string): void {
    const at = performance.now();
    this.text += chunk;
    for (let end = this.text.indexOf("\n\n"); end >= 0; end = this.text.indexOf("\n\n")) {
      // Chunk sizes of the transfer encoding lie before and between frames, never inside a line of ours.
      const data = /^data: (.*)$/m.exec(this.text.slice(0, end))?.[1];
      this.text = this.text.slice(end + 2);
      if (data === undefined) continue;
      const event = JSON.parse(data) as StreamedEvent;
      this.events.push({ event, at });
      for (const waiter of this.waiters) {
        if (!waiter.matches(event)) continue;
        this.waiters.delete(waiter);
        waiter.resolve(at);
      }
    }
  }

  private fail(error: Error): void {
    this.broken ??= error;
    for (const waiter of this.waiters) waiter.reject(error);
    this.waiters.clear();
  }
}
