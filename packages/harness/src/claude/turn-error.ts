import type { TurnError } from "../port.ts";

/** A failed model request, in the words of the program (the fields of its API error message). */
export interface ProgramError {
  text: string;
  /** HTTP status; `null`: there was none, or the stream had begun. */
  status: number | null;
  /** The provider's own error type. */
  type: string;
  /** The program's. */
  category: string;
}

const MESSAGE_CHARS_MAX = 2_000;
const BILLING = /billing|insufficient_quota|credit_balance/i;
const BILLING_TEXT = /credit balance is too low|exceeded your current quota/i;

/** A provider failure as the session shows it; `token` is taken out wherever it is echoed. */
export function toTurnError(failure: ProgramError, token: string): TurnError {
  const error = classify(failure);
  const message = token === "" ? error.message : error.message.replaceAll(token, "[redacted]");
  return { ...error, message: message.slice(0, MESSAGE_CHARS_MAX) };
}

function classify({ text, status, type, category }: ProgramError): TurnError {
  const message = `The model provider ${status === null ? "failed" : `answered ${status}`}: ${text}`;
  const failed = (disposition: TurnError["disposition"]): TurnError => ({
    kind: "model_request_failed_error",
    message,
    disposition,
  });
  if (status === 402 || BILLING.test(`${type} ${category}`) || ((status ?? 500) < 500 && BILLING_TEXT.test(text)))
    return { kind: "billing_error", message, disposition: "exhausted" };
  if (status === 429 || category === "rate_limit") return { kind: "model_rate_limited_error", message, disposition: "retryable" };
  if (
    status === 529 ||
    status === 503 ||
    category === "overloaded" ||
    /overloaded/i.test(`${type} ${status === null ? text : ""}`)
  )
    return { kind: "model_overloaded_error", message, disposition: "retryable" };
  if (status === 404 || category === "model_not_found") return failed("terminal");
  if (status !== null) return failed(status >= 500 || status === 408 || status === 409 ? "retryable" : "exhausted");
  return failed(["authentication_failed", "invalid_request"].includes(category) ? "exhausted" : "retryable");
}

/** The program ended, hung or spoke nonsense, twice. */
export function programFailed(message: string): TurnError {
  return { kind: "unknown_error", message: message.slice(0, MESSAGE_CHARS_MAX), disposition: "retryable" };
}
