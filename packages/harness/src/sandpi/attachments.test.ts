import { expect, test } from "vitest";
import { type Attachment, placeAttachments } from "./attachments.ts";

const PDF: Attachment = {
  mark: "[attachment 1]",
  block: { type: "document", source: { type: "base64", media_type: "application/pdf", data: "cGRm" }, title: "Report" },
};
const CAT: Attachment = {
  mark: "[attachment 2]",
  block: { type: "image", source: { type: "url", url: "https://example.com/cat.png" } },
};
const both = [PDF, CAT];
const cache_control = { type: "ephemeral" };

test("Anthropic: in user content, in joined tool results, and the cache mark moves to the last block", () => {
  const payload = {
    messages: [
      {
        role: "user",
        content: [
          { type: "text", text: "look" },
          { type: "text", text: PDF.mark },
        ],
      },
      {
        role: "user",
        content: [{ type: "tool_result", tool_use_id: "t", content: `before\n${CAT.mark}\nafter`, is_error: false }],
      },
      { role: "user", content: [{ type: "text", text: CAT.mark, cache_control }] },
    ],
  };
  placeAttachments(payload, "anthropic-messages", both);
  const document = { type: "document", source: { type: "base64", media_type: "application/pdf", data: "cGRm" }, title: "Report" };
  const image = { type: "image", source: { type: "url", url: "https://example.com/cat.png" } };
  expect(payload.messages.map(({ content }) => content)).toEqual([
    [{ type: "text", text: "look" }, document],
    [
      {
        type: "tool_result",
        tool_use_id: "t",
        content: [{ type: "text", text: "before" }, image, { type: "text", text: "after" }],
        is_error: false,
      },
    ],
    [{ ...image, cache_control }],
  ]);
});

test("Responses: files and images as input parts, in messages and in outputs", () => {
  const payload = {
    input: [
      { role: "user", content: [{ type: "input_text", text: PDF.mark }] },
      { type: "function_call_output", call_id: "c", output: `seen\n${CAT.mark}` },
    ],
  };
  placeAttachments(payload, "openai-responses", both);
  expect(payload.input).toEqual([
    { role: "user", content: [{ type: "input_file", filename: "Report.pdf", file_data: "data:application/pdf;base64,cGRm" }] },
    {
      type: "function_call_output",
      call_id: "c",
      output: [
        { type: "input_text", text: "seen" },
        { type: "input_image", detail: "auto", image_url: "https://example.com/cat.png" },
      ],
    },
  ]);
});

test("Chat Completions: what came with tool results follows them all, before what comes next", () => {
  const image = { type: "image_url", image_url: { url: "https://example.com/cat.png" } };
  const file = { type: "file", file: { filename: "Report.pdf", file_data: "data:application/pdf;base64,cGRm" } };
  const payload = {
    messages: [
      { role: "tool", tool_call_id: "1", content: `seen\n${CAT.mark}` },
      { role: "tool", tool_call_id: "2", content: PDF.mark },
      { role: "user", content: [{ type: "text", text: "and?" }] },
    ],
  };
  placeAttachments(payload, "openai-completions", both);
  expect(payload.messages).toEqual([
    { role: "tool", tool_call_id: "1", content: "seen\n(attached below)" },
    { role: "tool", tool_call_id: "2", content: "(attached below)" },
    { role: "user", content: [{ type: "text", text: "Attached to the tool results above:" }, image, file] },
    { role: "user", content: [{ type: "text", text: "and?" }] },
  ]);
});

test("leaves a payload without marks as it is", () => {
  const payload = {
    messages: [
      { role: "user", content: "look at [attachment 3]" },
      { role: "user", content: [{ type: "text", text: "x" }] },
    ],
  };
  const before = structuredClone(payload);
  placeAttachments(payload, "anthropic-messages", both);
  expect(payload).toEqual(before);
});
