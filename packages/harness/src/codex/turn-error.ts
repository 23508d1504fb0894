import type { TurnError as PortTurnError } from "../port.ts";
import { isJson, parseJson } from "./json.ts";
import type { Facts } from "./read-response.ts";

const MESSAGE_CHARS_MAX = 2_000;

/**
 * A failed model request, as Codex and its log tell of it, in the words of the session.
 * @param error the `error` of an `error` notification or of a failed turn
 */
export function toTurnError(error: unknown, facts: Facts, apiKey: string): PortTurnError {
  const said = isJson(error) && typeof error.message === "string" ? error.message : "Codex did not say why.";
  const { info, status } = readInfo(isJson(error) ? error.codexErrorInfo : null);
  const http = facts.http !== undefined && facts.http.status >= 400 ? facts.http : null;
  const failure =
    facts.providerError === undefined ? classify(info, status ?? http?.status ?? null, said) : streamError(facts.providerError);
  if (http !== null && http.retryAfterMs !== null && failure.disposition === "retryable")
    failure.retryAfterMs = http.retryAfterMs;
  const message = apiKey === "" ? failure.message : failure.message.replaceAll(apiKey, "[redacted]");
  return { ...failure, message: message.slice(0, MESSAGE_CHARS_MAX) };
}

/** The stream began with 200 and then told of an error. */
function streamError({ code, message }: NonNullable<Facts["providerError"]>): PortTurnError {
  const about = `${code} ${message}`;
  const told = `The model provider broke off: ${message || code}`;
  if (/overloaded/i.test(about)) return { kind: "model_overloaded_error", message: told, disposition: "retryable" };
  if (/rate.?limit/i.test(about)) return { kind: "model_rate_limited_error", message: told, disposition: "retryable" };
  if (/billing|insufficient_quota/i.test(code)) return { kind: "billing_error", message: told, disposition: "exhausted" };
  return failed(/content_filter/i.test(about) ? "exhausted" : "retryable", told);
}

function classify(info: string, status: number | null, said: string): PortTurnError {
  switch (info) {
    case "usageLimitExceeded":
    case "sessionBudgetExceeded":
      return { kind: "billing_error", message: `The model provider refused: ${said}`, disposition: "exhausted" };
    case "rateLimitExceeded":
      return { kind: "model_rate_limited_error", message: `The model provider refused: ${said}`, disposition: "retryable" };
    case "serverOverloaded":
    case "flexUnavailable":
    case "policyCapacityUnavailable":
      return { kind: "model_overloaded_error", message: `The model provider is overloaded: ${said}`, disposition: "retryable" };
    case "internalServerError":
      return failed("retryable", `The model provider failed: ${said}`);
    case "modelNotFound":
      return failed("terminal", `The model provider answered 404: ${said}`);
    case "contextWindowExceeded":
    case "unauthorized":
    case "badRequest":
    case "cyberPolicy":
      return failed("exhausted", `The model provider refused the request: ${said}`);
    default:
      return status === null ? other(said) : byStatus(status, messageOf(said));
  }
}

/** As sandpi reads the same statuses. */
function byStatus(status: number, said: string): PortTurnError {
  const message = `The model provider answered ${status}: ${said}`;
  if (status === 402) return { kind: "billing_error", message, disposition: "exhausted" };
  if (status === 429) return { kind: "model_rate_limited_error", message, disposition: "retryable" };
  if (status === 529 || status === 503) return { kind: "model_overloaded_error", message, disposition: "retryable" };
  if (status >= 500 || status === 408 || status === 409) return failed("retryable", message);
  return failed(status === 404 ? "terminal" : "exhausted", message);
}

/** What Codex has no word for: connections that broke, and the bodies of 400. */
function other(said: string): PortTurnError {
  if (BROKEN.test(said)) return failed("retryable", `The model provider could not be reached or broke off: ${said}`);
  return failed("exhausted", `The model provider refused the request: ${messageOf(said)}`);
}

const BROKEN = /^stream disconnected|^connection failed|timed? ?out|error sending request/i;

/** Of a body in the form of OpenAI's errors; other text is taken as it is. */
function messageOf(said: string): string {
  const error = parseJson(said)?.error;
  return isJson(error) && typeof error.message === "string" ? error.message : said;
}

function failed(disposition: PortTurnError["disposition"], message: string): PortTurnError {
  return { kind: "model_request_failed_error", message, disposition };
}

/** A word, or an object with one key and the provider's status in it. */
function readInfo(info: unknown): { info: string; status: number | null } {
  if (typeof info === "string") return { info, status: null };
  if (!isJson(info)) return { info: "other", status: null };
  const [name = "other", details] = Object.entries(info)[0] ?? [];
  return { info: name, status: isJson(details) && typeof details.httpStatusCode === "number" ? details.httpStatusCode : null };
}
