import type { IncomingHttpHeaders } from "node:http";
import type { ModelRoute } from "../port.ts";
import { replaceBytes } from "../substitution/byte-replacer.ts";

/**
 * What a sandbox may tell a provider. A list of what passes and not of what does not: gateways that speak the vendors' APIs
 * take other hosts, keys and models from headers of their own, and would carry the provider key there.
 */
const REQUEST_HEADERS: readonly RegExp[] = [
  /^accept$/,
  /^user-agent$/,
  /^anthropic-(version|beta|dangerous-direct-browser-access)$/,
  /^openai-beta$/,
  /^idempotency-key$/,
  /^x-(app|client-request-id|stainless-[a-z-]+|claude-code-[a-z-]+|codex-[a-z-]+)$/,
  /^(originator|version|session[_-]id|conversation[_-]id|thread[_-]id)$/,
];

/** No cookie, no organisation of the operator's, nothing about the connection. */
const RESPONSE_HEADERS: readonly RegExp[] = [
  /^(content-type|cache-control|date|retry-after(-ms)?|x-should-retry)$/,
  /^(request-id|x-request-id|cf-ray)$/,
  /^(anthropic|openai)-(?!organization|project)[a-z0-9-]+$/,
  /^x-(ratelimit|codex)-[a-z0-9-]+$/,
];

const passes = (list: readonly RegExp[], name: string): boolean => list.some((pattern) => pattern.test(name));

/** Always JSON in UTF-8, whatever the sandbox calls it: that is how it was read here. Answers have to be readable too. */
export function requestHeaders(sent: IncomingHttpHeaders, route: ModelRoute, body: Buffer): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(sent)) {
    if (value !== undefined && passes(REQUEST_HEADERS, name)) headers[name] = value;
  }
  headers["content-type"] = "application/json";
  headers["content-length"] = String(body.length);
  headers["accept-encoding"] = "identity";
  if (route.api === "anthropic-messages") headers["x-api-key"] = route.apiKey;
  else headers.authorization = `Bearer ${route.apiKey}`;
  return headers;
}

export function responseHeaders(
  received: Record<string, string | string[] | undefined>,
  secret: Buffer | null,
): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(received)) {
    if (value === undefined || !passes(RESPONSE_HEADERS, name)) continue;
    headers[name] = Array.isArray(value) ? value.map((each) => redact(each, secret)) : redact(value, secret);
  }
  return headers;
}

const SECRET_REPLACEMENT = Buffer.from("[redacted]");
/** What is shorter hides nothing and may be a word: where no key is needed, `none` is sent. */
const SECRET_CHARS_MIN = 8;

/** How a route's key is taken out of answers; `null`: there is none to hide. */
export function secretOf({ apiKey }: ModelRoute): Buffer | null {
  return apiKey.length < SECRET_CHARS_MIN ? null : Buffer.from(apiKey);
}

export function redaction(secret: Buffer): { find: Buffer; put: Buffer } {
  return { find: secret, put: SECRET_REPLACEMENT };
}

function redact(text: string, secret: Buffer | null): string {
  if (secret === null) return text;
  return replaceBytes(Buffer.from(text, "latin1"), [redaction(secret)]).toString("latin1");
}

/** The token of a harness, where its vendor's client puts its key. */
export function tokenOf(headers: IncomingHttpHeaders): string | null {
  const key = headers["x-api-key"];
  if (typeof key === "string" && key !== "") return key;
  return /^bearer +(\S+)$/i.exec(headers.authorization ?? "")?.[1] ?? null;
}
