import { createHmac } from "node:crypto";

const PREFIX = "sandbox0_placeholder_";
/** 128 bits: no text has it by chance. */
const HEX_CHARS = 32;

/**
 * What a sandbox of this session has in place of the credential's secret. The same on every node and after every restart;
 * it tells nothing of the ids, and is worth nothing anywhere else: the gateway replaces it for this session only.
 */
export function placeholderOf(sessionId: string, credentialId: string): string {
  return `${PREFIX}${createHmac("sha256", sessionId).update(credentialId).digest("hex").slice(0, HEX_CHARS)}`;
}
