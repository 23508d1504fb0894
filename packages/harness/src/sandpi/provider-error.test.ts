import { expect, test } from "vitest";
import { toTurnError } from "./provider-error.ts";
import type { HttpFailure } from "./provider-http.ts";

const KEY = "sk-ant-secret";
const status = (code: number, body: unknown, retryAfterMs: number | null = null): HttpFailure => ({
  type: "status",
  status: code,
  retryAfterMs,
  body: typeof body === "string" ? body : JSON.stringify(body),
});
const told = (http: HttpFailure | null, message = "") => toTurnError({ http, message }, KEY);
const anthropic = (type: string, message: string) => ({ type: "error", error: { type, message } });
const openai = (code: string, message: string) => ({ error: { message, type: "invalid_request_error", param: null, code } });

test.each([
  [
    status(429, anthropic("rate_limit_error", "slow down"), 1500),
    { kind: "model_rate_limited_error", disposition: "retryable", retryAfterMs: 1500 },
  ],
  [status(529, anthropic("overloaded_error", "busy")), { kind: "model_overloaded_error", disposition: "retryable" }],
  [status(503, "upstream"), { kind: "model_overloaded_error", disposition: "retryable" }],
  [status(500, ""), { kind: "model_request_failed_error", disposition: "retryable" }],
  [status(504, "<html>"), { kind: "model_request_failed_error", disposition: "retryable" }],
  [status(408, ""), { kind: "model_request_failed_error", disposition: "retryable" }],
  [status(402, ""), { kind: "billing_error", disposition: "exhausted" }],
  [
    status(400, anthropic("invalid_request_error", "Your credit balance is too low to access the API.")),
    { kind: "billing_error", disposition: "exhausted" },
  ],
  [
    status(429, openai("insufficient_quota", "You exceeded your current quota")),
    { kind: "billing_error", disposition: "exhausted" },
  ],
  [status(400, openai("context_length_exceeded", "too long")), { kind: "model_request_failed_error", disposition: "exhausted" }],
  [
    status(401, anthropic("authentication_error", "invalid x-api-key")),
    { kind: "model_request_failed_error", disposition: "exhausted" },
  ],
  [status(403, anthropic("permission_error", "no")), { kind: "model_request_failed_error", disposition: "exhausted" }],
  [status(302, ""), { kind: "model_request_failed_error", disposition: "exhausted" }],
  [status(404, anthropic("not_found_error", "model: claude-9")), { kind: "model_request_failed_error", disposition: "terminal" }],
  [{ type: "network", message: "ECONNREFUSED" } as HttpFailure, { kind: "model_request_failed_error", disposition: "retryable" }],
  [
    { type: "timeout", what: "first byte", ms: 5 } as HttpFailure,
    { kind: "model_request_failed_error", disposition: "retryable" },
  ],
])("%j", (http, expected) => {
  const { message, ...rest } = told(http);
  expect(rest).toEqual(expected);
  expect(message).not.toBe("");
});

test("says what the provider said", () => {
  expect(told(status(400, anthropic("invalid_request_error", "max_tokens: too large"))).message).toBe(
    "The model provider answered 400: max_tokens: too large",
  );
  expect(told(status(500, "")).message).toBe("The model provider answered 500.");
  expect(told(status(502, "<html>bad gateway</html>")).message).toContain("bad gateway");
});

test("tells errors in the middle of a stream apart by what they say", () => {
  const event = (type: string) => JSON.stringify(anthropic(type, "sorry"));
  expect(told(null, event("overloaded_error"))).toMatchObject({ kind: "model_overloaded_error", disposition: "retryable" });
  expect(told(null, event("rate_limit_error"))).toMatchObject({ kind: "model_rate_limited_error", disposition: "retryable" });
  expect(told(null, event("api_error"))).toMatchObject({ kind: "model_request_failed_error", disposition: "retryable" });
  expect(told(null, "Anthropic stream ended before message_stop")).toMatchObject({ disposition: "retryable" });
});

test("takes the key out of the message, and bounds it", () => {
  const { message } = told(status(401, anthropic("authentication_error", `bad key ${KEY}, I said ${KEY}`)));
  expect(message).toBe("The model provider answered 401: bad key [redacted], I said [redacted]");
  expect(told(status(500, "x".repeat(100_000))).message.length).toBeLessThanOrEqual(2_000);
});
