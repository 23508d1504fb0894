import { createHmac, timingSafeEqual } from "node:crypto";

/** Beside the vendors' own prefixes, so that a leaked one is recognised as worthless outside. */
const PREFIX = "sk-sandbox0-";
const CONTEXT = "sandbox0 model gateway session token, version 1";
const SECRET_BYTES_MIN = 32;
const TOKEN_CHARS_MAX = 512;
/** Sandboxes that a request may still go out of. What is forgotten has to be issued anew. */
const SANDBOXES_MAX = 10_000;
/** What a token can carry, before its dot. */
const SESSION_ID = /^[A-Za-z0-9_-]{1,200}$/;
/** Of any driver. Without line ends, which keep the signed text unambiguous. */
const SANDBOX_ID = /^[\x21-\x7e]{1,200}$/;

/** What a harness in a sandbox shows the model gateway instead of a key (design §7). */
export interface SessionTokens {
  /**
   * Good for this session out of this sandbox, and for nothing else. With it, one request of the thread may go out:
   * one, however often it is issued before that, or a program that asks again by itself would find one left.
   * @throws TypeError for ids that are no ids
   */
  issue(sandboxId: string, sessionId: string, threadId: string): string;
  /** The session of a token that was issued for this sandbox; else `null`. */
  sessionOf(sandboxId: string, token: string): string | null;
  /** Takes one of the requests that may go out of this sandbox; `false`: there is none. */
  spend(sandboxId: string): boolean;
}

/**
 * Tokens that carry their session and a signature over it and its sandbox: only the requests that may still go out are
 * stored. They do not expire: whoever asks must also know that the session has the sandbox now.
 * @param secret at least 32 random bytes, of this use only
 */
export function createSessionTokens(secret: Buffer): SessionTokens {
  if (secret.length < SECRET_BYTES_MIN) throw new RangeError(`the token secret needs ${SECRET_BYTES_MIN} bytes`);
  const sign = (sandboxId: string, sessionId: string): string =>
    createHmac("sha256", secret).update(`${CONTEXT}\n${sandboxId}\n${sessionId}`).digest("base64url");
  /** The threads that may still ask, by sandbox; those that were issued to last are last. */
  const unspent = new Map<string, Set<string>>();
  const allow = (sandboxId: string, threadId: string): void => {
    const threads = unspent.get(sandboxId) ?? new Set();
    unspent.delete(sandboxId);
    unspent.set(sandboxId, threads.add(threadId));
    for (const oldest of unspent.keys()) {
      if (unspent.size <= SANDBOXES_MAX) break;
      unspent.delete(oldest);
    }
  };
  return {
    issue(sandboxId, sessionId, threadId) {
      if (!SANDBOX_ID.test(sandboxId) || !SESSION_ID.test(sessionId))
        throw new TypeError("a session token needs the ids of a sandbox and a session");
      allow(sandboxId, threadId);
      return `${PREFIX}${sessionId}.${sign(sandboxId, sessionId)}`;
    },
    sessionOf(sandboxId, token) {
      if (token.length > TOKEN_CHARS_MAX || !token.startsWith(PREFIX)) return null;
      const [sessionId = "", signature = "", ...rest] = token.slice(PREFIX.length).split(".");
      if (rest.length > 0 || !SESSION_ID.test(sessionId) || !SANDBOX_ID.test(sandboxId)) return null;
      // As texts: the same bytes can be written in several ways.
      const [expected, shown] = [Buffer.from(sign(sandboxId, sessionId)), Buffer.from(signature)];
      return shown.length === expected.length && timingSafeEqual(shown, expected) ? sessionId : null;
    },
    spend(sandboxId) {
      const threads = unspent.get(sandboxId);
      const [any] = threads ?? [];
      if (threads === undefined || any === undefined) return false;
      threads.delete(any);
      if (threads.size === 0) unspent.delete(sandboxId);
      return true;
    },
  };
}
