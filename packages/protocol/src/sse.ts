/**
 * Server-sent events as this API frames them (contract §7.1): one `event:` line and exactly one `data:` line a frame.
 * The name is always the event's type. SDKs older than 1.x drop the eight names they do not know (`session.usage`,
 * `workflow_run.*`) and lose nothing they had a type for.
 */

/** `json` is one line: JSON as `JSON.stringify` writes it. */
export function encodeFrame(type: string, json: string): string {
  return `event: ${type}\ndata: ${json}\n\n`;
}

/** Keep-alive: the SDKs skip it. */
export const PING_FRAME = 'event: ping\ndata: {"type":"ping"}\n\n';
