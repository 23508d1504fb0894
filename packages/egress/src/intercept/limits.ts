/** Of a request's or a response's head. Node's own default of 16 KiB is less than some servers send. */
export const HEADER_BYTES_MAX = 64 * 1024;

/** A body of known length is read as a whole up to here, so that its length is known again once secrets are in. */
export const BUFFERED_BODY_BYTES_MAX = 1024 * 1024;

/** Of such bodies, for all sandboxes together and for one; one more goes out in chunks. */
export const BUFFERED_BODIES_BYTES_MAX = 256 * 1024 * 1024;
export const BUFFERED_BODIES_PER_SANDBOX_BYTES_MAX = 16 * 1024 * 1024;

export const CLIENT_HANDSHAKE_MS = 30_000;

/** From the end of the TLS handshake until the head of the first request is whole. */
export const FIRST_REQUEST_MS = 30_000;

/** Requests that one HTTP/1.1 connection of a sandbox may have sent ahead of their answers. One more ends it. */
export const PIPELINED_REQUESTS_MAX = 16;

/** Without a byte in either direction. */
export const IDLE_MS = 10 * 60_000;

/**
 * Connections of HTTP/2, of all sandboxes together and of one. Each may hold the windows of all its streams, those of the
 * upstream and of the client, and what is between them, which is 16 MiB. More are served in HTTP/1.1.
 */
export const HTTP2_CONNECTIONS_MAX = 128;
export const HTTP2_CONNECTIONS_PER_SANDBOX_MAX = 8;

/** Requests that one HTTP/2 connection of a sandbox may have open. */
export const CONCURRENT_STREAMS_MAX = 32;

/** What a client may send of one ahead of its upstream: it is near, and needs no more. */
export const CLIENT_STREAM_WINDOW_BYTES = 64 * 1024;

/** Those, and those that were reset while the work for them still ends. One more ends the connection. */
export const HTTP2_REQUESTS_MAX = 2 * CONCURRENT_STREAMS_MAX;

/** What else a client of HTTP/2 may send for nothing before its connection ends. Unread acknowledgements: nghttp2 holds 1,000. */
export const HTTP2_FLOOD_BOUNDS = {
  /** Resets at once, and a second from then on. */
  streamResetBurst: 200,
  streamResetRate: 33,
  maxSessionInvalidFrames: 100,
  /** Streams above `CONCURRENT_STREAMS_MAX`. */
  maxSessionRejectedStreams: 100,
  /** Entries of a SETTINGS frame. */
  maxSettings: 32,
  /** Fields of a request's head. */
  maxHeaderListPairs: 256,
  /** MB (Node's unit). */
  maxSessionMemory: 10,
};

/**
 * What is known to come once may come twice, as it may in HTTP/1.1: whoever gets it decides what it means. Node would throw, and
 * that out of an event where it is of trailers.
 */
export const HTTP2_FIELDS = { strictSingleValueFields: false };

/** Places that one connection's plain requests keep connections to. */
export const PLAIN_UPSTREAMS_MAX = 8;

/** On a stream that is read and written at once by several pipelines: each adds some. More than this would be a leak. */
export const STREAM_LISTENERS_MAX = 32;
