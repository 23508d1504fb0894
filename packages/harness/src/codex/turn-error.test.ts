import { expect, test } from "vitest";
import type { Facts } from "./read-response.ts";
import { toTurnError } from "./turn-error.ts";

const http = (status: number, retryAfterMs: number | null = null): Facts => ({ http: { type: "http", status, retryAfterMs } });
const REQUEST = "model_request_failed_error";

/** Errors as codex-cli 0.169.0 sent them, with what its log told. */
const RECORDED: readonly [string, unknown, Facts, object][] = [
  [
    "429",
    {
      message: "exceeded retry limit, last status: 429 Too Many Requests",
      codexErrorInfo: { responseTooManyFailedAttempts: { httpStatusCode: 429 } },
    },
    http(429, 7_000),
    { kind: "model_rate_limited_error", disposition: "retryable", retryAfterMs: 7_000 },
  ],
  [
    "400",
    { message: '{"error":{"message":"bad field","type":"invalid_request_error"}}', codexErrorInfo: "other" },
    http(400),
    { kind: REQUEST, disposition: "exhausted", message: "The model provider answered 400: bad field" },
  ],
  [
    "400, without the log",
    { message: '{"error":{"message":"bad field","type":"invalid_request_error"}}', codexErrorInfo: "other" },
    {},
    { kind: REQUEST, disposition: "exhausted", message: "The model provider refused the request: bad field" },
  ],
  [
    "529",
    {
      message: "unexpected status 529 <unknown status code>: x",
      codexErrorInfo: { httpConnectionFailed: { httpStatusCode: 529 } },
    },
    {},
    { kind: "model_overloaded_error", disposition: "retryable" },
  ],
  [
    "401 that says the token",
    { message: "unexpected status 401: invalid key: tok_1", codexErrorInfo: { httpConnectionFailed: { httpStatusCode: 401 } } },
    {},
    {
      kind: REQUEST,
      disposition: "exhausted",
      message: "The model provider answered 401: unexpected status 401: invalid key: [redacted]",
    },
  ],
  ["404", { message: "no such model", codexErrorInfo: "modelNotFound" }, http(404), { kind: REQUEST, disposition: "terminal" }],
  [
    "500",
    { message: "high demand", codexErrorInfo: "internalServerError" },
    http(500),
    { kind: REQUEST, disposition: "retryable" },
  ],
  [
    "quota",
    { message: "Quota exceeded.", codexErrorInfo: "usageLimitExceeded" },
    http(429),
    { kind: "billing_error", disposition: "exhausted" },
  ],
  [
    "a cut stream",
    { message: "stream disconnected before completion: Transport error: network error", codexErrorInfo: "other" },
    { ...http(200), isBroken: true },
    { kind: REQUEST, disposition: "retryable" },
  ],
  [
    "an overloaded provider, in the stream",
    { message: "stream disconnected before completion: stream closed before response.completed", codexErrorInfo: "other" },
    { ...http(200), providerError: { type: "provider_error", code: "overloaded_error", message: "busy" } },
    { kind: "model_overloaded_error", disposition: "retryable", message: "The model provider broke off: busy" },
  ],
  ["nothing that can be read", null, {}, { kind: REQUEST, disposition: "exhausted" }],
];

test.each(RECORDED)("%s", (_, error, facts, told) => expect(toTurnError(error, facts, "tok_1")).toMatchObject(told));
