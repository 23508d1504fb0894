import { expect, test } from "vitest";
import { readLogLine, writtenAtMs } from "./program-log.ts";

/** As codex-cli 0.169.0 wrote them, shortened. */
const RECORDED: readonly [string, string, unknown][] = [
  [
    "an answer with retry-after",
    '{"timestamp":"2026-11-25T23:17:39.298827Z","level":"DEBUG","fields":{"message":"Request completed","method":"POST","url":"http://127.0.0.1:3128/v1/responses","status":"429 Too Many Requests","headers":"{\\"content-type\\": \\"application/json\\", \\"retry-after\\": \\"7\\"}","version":"HTTP/1.1"},"target":"codex_http_client::client"}',
    { type: "http", status: 429, retryAfterMs: 7_000 },
  ],
  [
    "a good answer",
    '{"timestamp":"2026-11-25T23:17:36.119550Z","level":"DEBUG","fields":{"message":"Request completed","method":"POST","url":"http://127.0.0.1:3128/v1/responses","status":"200 OK","headers":"{}","version":"HTTP/1.1"},"target":"codex_http_client::client"}',
    { type: "http", status: 200, retryAfterMs: null },
  ],
  [
    "a stream that ended too early",
    '{"timestamp":"2026-11-25T23:17:38.462940Z","level":"INFO","fields":{"event.name":"codex.sse_event","event.kind":"response.completed","error.message":"stream disconnected before completion: stream closed before response.completed","model":"gpt-5.5"},"target":"codex_otel.log_only"}',
    { type: "broken", message: "stream disconnected before completion: stream closed before response.completed" },
  ],
  [
    "a refusal",
    '{"timestamp":"2026-11-25T23:17:36.858705Z","level":"TRACE","fields":{"message":"SSE event: {\\"type\\":\\"response.refusal.done\\",\\"item_id\\":\\"msg_w\\",\\"output_index\\":0,\\"content_index\\":0,\\"refusal\\":\\"No way.\\",\\"sequence_number\\":5}"},"target":"codex_api::sse::responses"}',
    { type: "refusal", text: "No way." },
  ],
  [
    "a response that was cut short",
    '{"timestamp":"2026-11-25T23:17:37.688017Z","level":"TRACE","fields":{"message":"SSE event: {\\"type\\":\\"response.incomplete\\",\\"response\\":{\\"incomplete_details\\":{\\"reason\\":\\"max_output_tokens\\"},\\"usage\\":{\\"input_tokens\\":453,\\"output_tokens\\":2}}}"},"target":"codex_api::sse::responses"}',
    { type: "incomplete", usage: { input_tokens: 453, output_tokens: 2 } },
  ],
  [
    "an error in the stream",
    '{"timestamp":"2026-11-25T23:17:38.460806Z","level":"TRACE","fields":{"message":"SSE event: {\\"type\\":\\"error\\",\\"code\\":\\"server_error\\",\\"message\\":\\"scripted stream failure\\",\\"param\\":null,\\"sequence_number\\":6}"},"target":"codex_api::sse::responses"}',
    { type: "provider_error", code: "server_error", message: "scripted stream failure" },
  ],
  [
    "a piece of text that speaks of errors",
    '{"timestamp":"2026-11-25T23:17:36.120415Z","level":"TRACE","fields":{"message":"SSE event: {\\"type\\":\\"response.output_text.delta\\",\\"delta\\":\\"error.message response.refusal.done\\"}"},"target":"codex_api::sse::responses"}',
    null,
  ],
  [
    "a request that failed",
    '{"level":"INFO","fields":{"event.name":"codex.api_request","error.message":"http 429"},"target":"codex_otel.log_only"}',
    null,
  ],
];

test.each(RECORDED)("reads %s", (_, line, note) => expect(readLogLine(line)).toEqual(note));

test.each(["", "error.message", "{", '{"fields":null,"target":"codex_otel.log_only","x":"error.message"}', '["error.message"]'])(
  "makes nothing of %j",
  (line) => expect(readLogLine(line)).toBeNull(),
);

test("a line says when it was written", () => {
  const [, line = ""] = RECORDED[0] ?? [];
  expect(writtenAtMs(line)).toBe(Date.parse("2026-11-25T23:17:39.298Z"));
  for (const other of ["", "error", '{"level":"INFO"}', '{"timestamp":"soon"}']) expect(writtenAtMs(other)).toBeNaN();
});
