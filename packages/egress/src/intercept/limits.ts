/** Of a request's or a response's head. Node's own default of 16 KiB is less than some servers send. */
export const HEADER_BYTES_MAX = 64 * 1024;

/** A body of known length is read as a whole up to here, so that its length is known again once secrets are in. */
export const BUFFERED_BODY_BYTES_MAX = 1024 * 1024;

/** Of such bodies, for all sandboxes together and for one; one more goes out in chunks. */
export const BUFFERED_BODIES_BYTES_MAX = 256 * 1024 * 1024;
export const BUFFERED_BODIES_PER_SANDBOX_BYTES_MAX = 16 * 1024 * 1024;

export const CLIENT_HANDSHAKE_MS = 30_000;

/** Without a byte in either direction. */
export const IDLE_MS = 10 * 60_000;

/** Requests that one HTTP/2 connection of a sandbox may have open. */
export const CONCURRENT_STREAMS_MAX = 64;

/** Places that one connection's plain requests keep connections to. */
export const PLAIN_UPSTREAMS_MAX = 8;

/** On a stream that is read and written at once by several pipelines: each adds some. More than this would be a leak. */
export const STREAM_LISTENERS_MAX = 32;
