import { expect, test } from "vitest";
import type { SessionEvent } from "@sandbox0/protocol";
import { createTranscript } from "../loop/transcript.ts";
import type { HistoryEntry } from "../port.ts";
import type { NativeStep } from "./native.ts";
import { writeTranscript } from "./transcript-file.ts";
import { canonical, toConversation } from "./translate.ts";

const MODEL = "claude-opus-5";
const entry = (event: Record<string, unknown>, native?: unknown): HistoryEntry => ({
  event: { processed_at: "2026-11-25T00:00:00Z", ...event } as SessionEvent,
  ...(native === undefined ? {} : { native }),
});
const says = (text: string) => [{ type: "text", text }];
const NATIVE: NativeStep = {
  v: 1,
  harness: "claude",
  model: MODEL,
  content: [
    { type: "thinking", thinking: "Hm.", signature: "c2ln" },
    { type: "text", text: "I look." },
    { type: "tool_use", id: "toolu_1", name: "look", input: { value: "a" } },
  ],
  callIds: ["sevt_call"],
};
const turn = (native?: unknown): HistoryEntry[] => [
  entry({ id: "u", type: "user.message", content: [...says("hi"), ...says("  ")] }),
  entry({ id: "m", type: "agent.message", content: says("I look.") }),
  entry({ id: "sevt_call", type: "agent.tool_use", name: "look", input: { value: "a" } }),
  entry({ id: "end", type: "span.model_request_end", model_request_start_id: "s", is_error: false }, native),
  entry({ id: "r", type: "agent.tool_result", tool_use_id: "sevt_call", content: says("no"), is_error: true }),
  entry({ id: "s", type: "system.message", content: says("In rhyme.") }),
  entry({ id: "u2", type: "user.message", content: says("and?") }),
];
const conversation = (native?: unknown) => toConversation(createTranscript(turn(native)).items, MODEL);
const afterCall = (id: string) => ({
  role: "user",
  content: [
    { type: "tool_result", tool_use_id: id, content: says("no"), is_error: true },
    ...says("<system_message>\nIn rhyme.\n</system_message>"),
    ...says("and?"),
  ],
});

test("gives the provider its own form of a response back, with its own ids", () => {
  expect(conversation(NATIVE)).toEqual([
    { role: "user", content: says("hi") },
    { role: "assistant", content: NATIVE.content },
    afterCall("toolu_1"),
  ]);
});

test.each([
  ["gone", undefined],
  ["of another model", { ...NATIVE, model: "claude-other" }],
  ["of another harness", { ...NATIVE, harness: "codex" }],
  ["of other calls", { ...NATIVE, callIds: [] }],
])("writes a response anew from its events when its native form is %s", (_, native) => {
  expect(conversation(native)).toEqual([
    { role: "user", content: says("hi") },
    {
      role: "assistant",
      content: [...says("I look."), { type: "tool_use", id: "sevt_call", name: "look", input: { value: "a" } }],
    },
    afterCall("sevt_call"),
  ]);
});

test("says what the provider would not take in words", () => {
  const content = [
    { type: "document", source: { type: "file", file_id: "file_01" } },
    { type: "document", source: { type: "base64", media_type: "application/msword", data: "AAAA" } },
    { type: "document", source: { type: "base64", media_type: "text/csv", data: btoa("a,b") }, title: "Table" },
  ];
  const [message] = toConversation(createTranscript([entry({ id: "u", type: "user.message", content })]).items, MODEL);
  expect(message?.content).toEqual([
    ...says("[document file_01: the file is not in the conversation]"),
    ...says("[document of type application/msword: the model can read PDF and text only]"),
    { type: "document", source: { type: "text", media_type: "text/plain", data: "a,b" }, title: "Table" },
  ]);
});

test("writes a transcript whose entries follow each other, each response with an id of its own", () => {
  const place = { sessionId: "id", cwd: "/workspace", model: MODEL, version: "2.1.332", now: new Date(0) };
  const messages = [...conversation(NATIVE), { role: "assistant" as const, content: says("Fine.") }];
  const entries = writeTranscript(messages, place)
    .split("\n")
    .slice(0, -1)
    .map(
      (line) => JSON.parse(line) as { type: string; uuid: string; parentUuid: string | null; message: Record<string, unknown> },
    );
  expect(entries.map(({ type }) => type)).toEqual(["user", "assistant", "user", "assistant"]);
  expect(entries.map(({ parentUuid }) => parentUuid)).toEqual([null, ...entries.slice(0, -1).map(({ uuid }) => uuid)]);
  expect(entries.map(({ message }) => message.stop_reason)).toEqual([undefined, "tool_use", undefined, "end_turn"]);
  expect(new Set(entries.map(({ message }) => message.id)).size).toBe(3);
  expect(entries[1]?.message).toMatchObject({ model: MODEL, content: NATIVE.content });
});

test("tells equal values from different ones, however their keys are ordered", () => {
  expect(canonical({ b: [{ d: 1, c: 2 }], a: 3 })).toBe(canonical({ a: 3, b: [{ c: 2, d: 1 }] }));
  expect(canonical({ a: [1, 2] })).not.toBe(canonical({ a: [2, 1] }));
});
