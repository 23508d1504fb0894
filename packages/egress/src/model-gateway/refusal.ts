import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";

/** In whose shape a client expects errors. */
export type Vendor = "anthropic" | "openai";

type Kind =
  | "invalid"
  | "unauthenticated"
  | "forbidden"
  | "not_found"
  | "method"
  | "too_large"
  | "encoding"
  | "busy"
  | "provider"
  | "overloaded"
  | "bug";

interface Form {
  anthropic: { status: number; type: string };
  openai: { status: number; type: string; code: string | null };
}

const FORMS: Readonly<Record<Kind, Form>> = {
  invalid: form(400, "invalid_request_error", "invalid_request_error", null),
  unauthenticated: form(401, "authentication_error", "invalid_request_error", "invalid_api_key"),
  forbidden: form(403, "permission_error", "invalid_request_error", "not_allowed"),
  not_found: form(404, "not_found_error", "invalid_request_error", "not_found"),
  method: form(405, "invalid_request_error", "invalid_request_error", "method_not_allowed"),
  too_large: form(413, "request_too_large", "invalid_request_error", "request_too_large"),
  encoding: form(415, "invalid_request_error", "invalid_request_error", "unsupported_encoding"),
  busy: form(429, "rate_limit_error", "rate_limit_exceeded", "rate_limit_exceeded"),
  provider: form(502, "api_error", "server_error", "provider_unreachable"),
  overloaded: {
    anthropic: { status: 529, type: "overloaded_error" },
    openai: { status: 503, type: "server_error", code: "overloaded" },
  },
  bug: form(500, "api_error", "server_error", null),
};
const RETRY_AFTER_SECONDS = "1";

function form(status: number, anthropicType: string, openaiType: string, code: string | null): Form {
  return { anthropic: { status, type: anthropicType }, openai: { status, type: openaiType, code } };
}

/** The gateway's own answer to a request. The message goes to the sandbox: a sentence of ours, never text of another side. */
export class Refusal extends Error {
  readonly kind: Kind;
  constructor(kind: Kind, message: string) {
    super(message);
    this.name = "Refusal";
    this.kind = kind;
  }
}

/** Answers in the vendor's error shape, as its SDK reads it. Cuts an answer that has begun. */
export function sendRefusal(res: ServerResponse, vendor: Vendor, { kind, message }: Refusal): void {
  if (res.headersSent || res.destroyed) return void res.destroy();
  const requestId = `req_${randomBytes(12).toString("hex")}`;
  const { status, ...error } = FORMS[kind][vendor];
  const body = Buffer.from(
    JSON.stringify(
      vendor === "anthropic"
        ? { type: "error", error: { type: error.type, message }, request_id: requestId }
        : { error: { message, param: null, ...error } },
    ),
  );
  res.writeHead(status, {
    "content-type": "application/json",
    "content-length": body.length,
    [vendor === "anthropic" ? "request-id" : "x-request-id"]: requestId,
    ...(kind === "busy" || kind === "overloaded" ? { "retry-after": RETRY_AFTER_SECONDS } : {}),
    ...(kind === "method" ? { allow: "POST" } : {}),
    // Nobody reads the rest of a body that is too large.
    ...(kind === "too_large" ? { connection: "close" } : {}),
  });
  res.end(body);
}
