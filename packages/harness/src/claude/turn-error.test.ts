import { expect, test } from "vitest";
import { toTurnError } from "./turn-error.ts";

/** `text`, `status`, `type` and `category` as the program said them of scripted failures. */
test.each([
  [
    "API Error: Request rejected (429) · slow down",
    429,
    "rate_limit_error",
    "rate_limit",
    "model_rate_limited_error",
    "retryable",
  ],
  ["API Error: 529 busy", 529, "overloaded_error", "server_error", "model_overloaded_error", "retryable"],
  ["API Error: 500 oops", 500, "api_error", "server_error", "model_request_failed_error", "retryable"],
  ["API Error: 402 pay", 402, "billing_error", "unknown", "billing_error", "exhausted"],
  ["API Error: Request rejected (429)", 429, "insufficient_quota", "rate_limit", "billing_error", "exhausted"],
  ["Your credit balance is too low", 400, "invalid_request_error", "billing_error", "billing_error", "exhausted"],
  ["API Error: 400 bad", 400, "invalid_request_error", "unknown", "model_request_failed_error", "exhausted"],
  [
    "Failed to authenticate. API Error: 401",
    401,
    "authentication_error",
    "authentication_failed",
    "model_request_failed_error",
    "exhausted",
  ],
  [
    "There's an issue with the selected model",
    404,
    "not_found_error",
    "model_not_found",
    "model_request_failed_error",
    "terminal",
  ],
  ["API Error: Connection dropped (ECONNRESET).", null, "", "server_error", "model_request_failed_error", "retryable"],
  ["Prompt is too long", null, "", "invalid_request", "model_request_failed_error", "exhausted"],
])("%s", (text, status, type, category, kind, disposition) => {
  expect(toTurnError({ text, status, type, category }, "")).toMatchObject({
    kind,
    disposition,
    message: expect.stringContaining(text),
  });
});

test("takes the session's token out", () => {
  const error = toTurnError({ text: "bad key tok-123", status: 401, type: "", category: "" }, "tok-123");
  expect(error.message).toBe("The model provider answered 401: bad key [redacted]");
});
