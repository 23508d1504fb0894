/** One request of a client and its response, the same for HTTP/1.1 and HTTP/2. */
import type { Readable, Writable } from "node:stream";
import type { HeaderList } from "./headers.ts";

export interface RequestHead {
  method: string;
  /** As the client wrote it: never touched. Secrets go into headers and bodies only (contract §9). */
  path: string;
  headers: HeaderList;
}

export interface ResponseHead {
  status: number;
  headers: HeaderList;
}

/** How the end of a body is known. */
export type Framing = { type: "none" } | { type: "length"; length: number } | { type: "open" };

export interface ClientExchange extends RequestHead {
  version: "1.1" | "2";
  /** Every host the request names (`Host`, `:authority`, the target itself): they must all be the target's. */
  authorities: readonly string[];
  /** What is wrong with how the request is written, as a fixed word; `null`: nothing. */
  malformed: string | null;
  framing: Framing;
  expectsContinue: boolean;
  body: Readable;
  /** When the body has ended. */
  trailers(): HeaderList;
  sendContinue(): void;
  /** Sends the head at once; the body goes into what this returns. `trailers` are asked for at its end. */
  respond(head: ResponseHead, trailers: () => HeaderList): Writable;
  /** Whether `respond` was called. */
  responded(): boolean;
  /** Aborted when the client went away before the response was complete. */
  gone: AbortSignal;
  /** Breaks off, so that the client sees the response as incomplete. */
  abort(): void;
}

export interface UpstreamRequest extends RequestHead {
  /** For `:authority` and `Host`. */
  authority: string;
  framing: Framing;
  expectsContinue: boolean;
  onContinue(): void;
  /** When the body has ended. */
  trailers(): HeaderList;
  signal: AbortSignal;
}

export interface UpstreamResponse extends ResponseHead {
  body: Readable;
  trailers(): HeaderList;
}

export interface UpstreamExchange {
  /** Ended by the caller, also when there is no body. */
  body: Writable;
  /** Rejects when the connection fails before there is one. */
  response: Promise<UpstreamResponse>;
}

/** The connections to the target that belong to one client connection. */
export interface Upstream {
  send(request: UpstreamRequest): Promise<UpstreamExchange>;
  close(): void;
}
