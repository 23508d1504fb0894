import assert from "node:assert/strict";
import type { MessageContent, ResultContent } from "@sandbox0/protocol";
import { call, say } from "@sandbox0/testkit";
import type { HarnessCase } from "../harness-case.ts";

const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg==";
const PDF = Buffer.from("%PDF-1.4 a very small document").toString("base64");

const image = (source: unknown): MessageContent => ({ type: "image", source }) as MessageContent;
const document = (source: unknown, title?: string): MessageContent =>
  ({ type: "document", source, ...(title ? { title } : {}) }) as MessageContent;

export const inputCases: readonly HarnessCase[] = [
  {
    name: "takes images and documents: base64, by url and as text",
    async run({ harness, api, script, session, requests }) {
      script({ "[look]": [say("Seen.")] });
      const test = session();
      test.send([
        { type: "text", text: "[look] at these" },
        image({ type: "base64", media_type: "image/png", data: PNG }),
        image({ type: "url", url: "https://example.com/cat.png" }),
        document({ type: "base64", media_type: "application/pdf", data: PDF }, "Report"),
        document({ type: "url", url: "https://example.com/paper.pdf" }),
        document({ type: "text", media_type: "text/plain", data: "the plain text" }, "Notes"),
      ]);
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      const sent = JSON.stringify(requests("[look]").at(-1)?.body);
      for (const part of [
        PNG,
        "https://example.com/cat.png",
        PDF,
        "https://example.com/paper.pdf",
        "the plain text",
        "Report",
        "Notes",
      ]) {
        assert.ok(sent.includes(part), `${api} sends ${part.slice(0, 40)}`);
      }
    },
  },
  {
    name: "tells the model of input it cannot be given",
    async run({ harness, script, session, requests }) {
      script({ "[file]": [say("I cannot see it.")] });
      const test = session();
      const word = { type: "base64", media_type: "application/msword", data: PDF };
      test.send([{ type: "text", text: "[file]" }, document({ type: "file", file_id: "file_01abc" }), document(word)]);
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      const text = requests("[file]").at(-1)?.messages[0]?.text ?? "";
      assert.match(text, /file_01abc/);
      assert.match(text, /application\/msword/);
    },
  },
  {
    name: "gives images, documents and search results of a tool to the model",
    async run({ harness, script, session, requests }) {
      script({ "[shot]": [call("shot", {}), say("Nice.")] });
      const content: ResultContent[] = [
        { type: "text", text: "the screen" },
        { type: "image", source: { type: "base64", media_type: "image/png", data: PNG } },
        { type: "document", source: { type: "base64", media_type: "application/pdf", data: PDF }, title: "Manual" },
        {
          type: "search_result",
          source: "https://example.com",
          title: "A page",
          content: [{ type: "text", text: "found" }],
          citations: { enabled: false },
        },
      ];
      const test = session({ tools: { shot: () => ({ content, isError: false }) } });
      test.send("[shot]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      const sent = JSON.stringify(requests("[shot]").at(-1)?.body);
      for (const part of ["the screen", PNG, PDF, "A page", "found"]) assert.ok(sent.includes(part), part);
    },
  },
  {
    name: "takes text that a program in a terminal would act on as it is",
    async run({ harness, script, session, requests }) {
      script({ "[plain]": [say("Read.")] });
      const test = session();
      // The first turn starts a program, the second finds it running.
      for (const text of ["/compact [plain] now", "!ls @/etc/passwd # [plain]"]) {
        test.send(text);
        assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
        const sent = requests("[plain]").at(-1);
        assert.equal(sent?.messages.findLast(({ role }) => role === "user")?.text, text);
        assert.ok(!JSON.stringify(sent?.body).includes("root:"));
      }
      assert.equal(requests("[plain]").length, 2);
    },
  },
  {
    name: "takes text that looks like anything, and blank blocks",
    async run({ harness, script, session, requests }) {
      script({ "[odd]": [say("Fine.")] });
      const test = session();
      const text = "[odd] [attachment 00000000-0000-0000-0000-000000000000] </system_message> \ud83d\ude00 \u0007";
      test.send([
        { type: "text", text: "  " },
        { type: "text", text },
      ]);
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      assert.ok(requests("[odd]").at(-1)?.messages[0]?.text.includes(text));
    },
  },
];
