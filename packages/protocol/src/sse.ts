/**
 * Server-sent events as this API frames them (contract §7.1): one `event:` line, which names the event's type, and exactly
 * one `data:` line a frame.
 */

/** `json` is one line: JSON as `JSON.stringify` writes it. */
export function encodeFrame(type: string, json: string): string {
  return `event: ${type}\ndata: ${json}\n\n`;
}

/** Keep-alive: the SDKs skip it. */
export const PING_FRAME = 'event: ping\ndata: {"type":"ping"}\n\n';
