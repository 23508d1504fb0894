import { isJson, type Json, parseJson } from "./json.ts";

/**
 * What only the program's own log tells of a model request: Codex reports a broken stream when its calls have answers,
 * which they never get, and it drops what it has no use for.
 */
export type LogNote =
  | { type: "http"; status: number; retryAfterMs: number | null }
  | { type: "broken"; message: string }
  | { type: "provider_error"; code: string; message: string }
  | { type: "refusal"; text: string }
  | { type: "incomplete"; usage: Json };

/** For the program's environment: these lines, in JSON, and errors. */
export const LOG_ENV: Readonly<Record<string, string>> = {
  LOG_FORMAT: "json",
  RUST_LOG: "error,codex_otel.log_only[{error.message}]=info,codex_http_client::client=debug,codex_api::sse::responses=trace",
};

const EVENT_PREFIX = "SSE event: ";
/** Most lines are about pieces of text, and are not parsed. */
const WORTH_READING =
  /error\.message|Request completed|response\.refusal\.done|response\.incomplete|response\.failed|\\"type\\":\\"error\\"/;

/** @param line of the log; anything may stand there */
export function readLogLine(line: string): LogNote | null {
  if (!WORTH_READING.test(line)) return null;
  const record = parseJson(line);
  const fields = isJson(record?.fields) ? record.fields : {};
  const message = typeof fields.message === "string" ? fields.message : "";
  switch (record?.target) {
    case "codex_http_client::client":
      return message === "Request completed" ? httpNote(fields) : null;
    case "codex_otel.log_only": {
      const failed = fields["error.message"];
      const isEnd = fields["event.name"] === "codex.sse_event" && fields["event.kind"] === "response.completed";
      return isEnd && typeof failed === "string" ? { type: "broken", message: failed } : null;
    }
    case "codex_api::sse::responses":
      return message.startsWith(EVENT_PREFIX) ? eventNote(parseJson(message.slice(EVENT_PREFIX.length))) : null;
    default:
      return null;
  }
}

/** When the program wrote a line, in milliseconds since 1970; `NaN` for one that does not say. */
export function writtenAtMs(line: string): number {
  return Date.parse(/^\{"timestamp":"([^"]{1,40})"/.exec(line)?.[1] ?? "");
}

function httpNote(fields: Json): LogNote | null {
  if (!String(fields.url).endsWith("/responses")) return null;
  const status = Number.parseInt(String(fields.status), 10);
  const headers = parseJson(String(fields.headers));
  const seconds = Number(headers?.["retry-after"] ?? Number.NaN);
  return { type: "http", status, retryAfterMs: Number.isFinite(seconds) && seconds >= 0 ? seconds * 1_000 : null };
}

function eventNote(event: Json | null): LogNote | null {
  const response = isJson(event?.response) ? event.response : {};
  switch (event?.type) {
    case "response.refusal.done":
      return typeof event.refusal === "string" ? { type: "refusal", text: event.refusal } : null;
    case "response.incomplete":
      return isJson(response.usage) ? { type: "incomplete", usage: response.usage } : null;
    case "response.failed":
      return isJson(response.error) ? providerError(response.error) : null;
    case "error":
      return providerError(event);
    default:
      return null;
  }
}

function providerError(error: Json): LogNote {
  return { type: "provider_error", code: String(error.code ?? ""), message: String(error.message ?? "") };
}
