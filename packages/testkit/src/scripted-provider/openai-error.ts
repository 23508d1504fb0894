import type { ProviderFailure } from "./step.ts";

/** The body of an error of OpenAI's APIs, with the type that goes with the status. */
export function openaiError(failure: ProviderFailure): Record<string, unknown> {
  const types: Record<number, string> = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    402: "insufficient_quota",
    404: "invalid_request_error",
    429: "rate_limit_exceeded",
  };
  const codes: Record<number, string> = {
    401: "invalid_api_key",
    402: "insufficient_quota",
    404: "model_not_found",
    429: "rate_limit_exceeded",
  };
  const type = failure.errorType ?? types[failure.status] ?? "server_error";
  return { error: { message: failure.message, type, param: null, code: failure.errorType ?? codes[failure.status] ?? null } };
}
