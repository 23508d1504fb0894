import type { TurnError } from "../port.ts";
import type { HttpFailure } from "./provider-http.ts";

/** What is known of a request that failed. */
export interface RequestFailure {
  http: HttpFailure | null;
  /** pi-ai's message; an error in the middle of a stream is told only here. */
  message: string;
}

const MESSAGE_CHARS_MAX = 2_000;

/** A provider failure as the session shows it. The key is taken out wherever a provider echoes it. */
export function toTurnError(failure: RequestFailure, apiKey: string): TurnError {
  const error = failure.http === null ? streamError(failure.message) : httpError(failure.http);
  return { ...error, message: scrub(error.message, apiKey).slice(0, MESSAGE_CHARS_MAX) };
}

function httpError(http: HttpFailure): TurnError {
  if (http.type === "network")
    return failed("retryable", `The model provider could not be reached or broke off: ${http.message}`);
  if (http.type === "timeout") return failed("retryable", `The model provider timed out (${http.what}, ${http.ms} ms).`);
  const said = parseBody(http.body);
  const message =
    said.message === ""
      ? `The model provider answered ${http.status}.`
      : `The model provider answered ${http.status}: ${said.message}`;
  const retryAfter = http.retryAfterMs === null ? {} : { retryAfterMs: http.retryAfterMs };
  if (http.status === 402 || BILLING.test(said.code) || (http.status < 500 && BILLING_MESSAGE.test(said.message))) {
    return { kind: "billing_error", message, disposition: "exhausted" };
  }
  if (http.status === 429) return { kind: "model_rate_limited_error", message, disposition: "retryable", ...retryAfter };
  if (http.status === 529 || http.status === 503)
    return { kind: "model_overloaded_error", message, disposition: "retryable", ...retryAfter };
  if (http.status >= 500 || http.status === 408 || http.status === 409) return { ...failed("retryable", message), ...retryAfter };
  return failed(http.status === 404 ? "terminal" : "exhausted", message);
}

const BILLING = /billing|insufficient_quota|credit_balance/i;
const BILLING_MESSAGE = /credit balance is too low|exceeded your current quota/i;

/** The stream began with 200 and then told of an error, or ended too early. */
function streamError(message: string): TurnError {
  const said = parseBody(message);
  const about = `${said.code} ${said.message}`;
  const text = `The model provider broke off: ${said.message || message}`;
  if (/overloaded/i.test(about)) return { kind: "model_overloaded_error", message: text, disposition: "retryable" };
  if (/rate.?limit/i.test(about)) return { kind: "model_rate_limited_error", message: text, disposition: "retryable" };
  if (BILLING.test(said.code)) return { kind: "billing_error", message: text, disposition: "exhausted" };
  if (/content_filter/i.test(about)) return failed("exhausted", text);
  return failed("retryable", text);
}

function failed(disposition: TurnError["disposition"], message: string): TurnError {
  return { kind: "model_request_failed_error", message, disposition };
}

/** `{error: {type, code, message}}` of both vendors; anything else is taken as text. */
function parseBody(body: string): { code: string; message: string } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { code: "", message: body.trim() };
  }
  const holder = (parsed as { error?: unknown } | null)?.error ?? parsed;
  if (typeof holder === "string") return { code: "", message: holder };
  const { type, code, message } = (holder ?? {}) as Record<string, unknown>;
  return { code: `${String(type ?? "")} ${String(code ?? "")}`, message: typeof message === "string" ? message : body.trim() };
}

function scrub(message: string, apiKey: string): string {
  return apiKey === "" ? message : message.replaceAll(apiKey, "[redacted]").replaceAll(encodeURIComponent(apiKey), "[redacted]");
}
