import assert from "node:assert/strict";
import { say, stopFor, think, thinkRedacted, usage } from "@sandbox0/testkit";
import { assertClosed, assertPreviewsHold, messages, types } from "../assertions.ts";
import type { HarnessCase } from "../harness-case.ts";

const LONG = "A sentence with some length, repeated for the deltas. 😀 ".repeat(40);

export const textCases: readonly HarnessCase[] = [
  {
    name: "answers with text, previews it, and writes the turn in order",
    async run({ harness, script, session }) {
      script({ "[hello]": [say(LONG, { chunkChars: 7 })] });
      const test = session();
      test.send("[hello]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      assert.deepEqual(types(test), ["user.message", "span.model_request_start", "agent.message", "span.model_request_end"]);
      assert.deepEqual(messages(test), [LONG]);
      assert.equal(
        test.previews
          .filter((preview) => preview.type === "text")
          .map((preview) => preview.text)
          .join(""),
        LONG,
      );
      assert.equal(test.previews[0]?.type === "start" && test.previews[0].eventId, test.events("agent.message")[0]?.id);
      assertPreviewsHold(test);
    },
  },
  {
    name: "gives the agent's system prompt and tools to the model",
    async run({ harness, script, session, requests }) {
      script({ "[hello]": [say("Hello.")] });
      const test = session({ tools: { look: () => ({ content: [], isError: false }) }, customTools: ["ask_user"] });
      test.send("[hello]");
      await test.run(harness);
      const request = requests("[hello]").at(-1);
      assert.ok(request !== undefined);
      assert.ok(request.system.includes("You are a test agent."));
      assert.ok(request.toolNames.includes("look") && request.toolNames.includes("ask_user"));
    },
  },
  {
    name: "puts several text blocks of one response into one message, without the blank ones",
    apis: ["anthropic-messages", "openai-responses"],
    async run({ harness, script, session }) {
      script({ "[blocks]": [[say("\n\n"), say("First."), say(" "), say("Second.", { chunkChars: 2 })]] });
      const test = session();
      test.send("[blocks]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      assert.deepEqual(messages(test), ["First.|Second."]);
      assertPreviewsHold(test);
    },
  },
  {
    name: "shows thinking as an event, and gives it back to the model unchanged",
    async run({ harness, api, script, session, requests }) {
      const signature = "c2lnbmF0dXJlLTEyMw==";
      script({ "[think]": [[think("Let me see.", { signature }), say("Seen.")]], "[more]": [say("More.")] });
      const test = session();
      test.send("[think]");
      await test.run(harness);
      assert.deepEqual(types(test), [
        "user.message",
        "span.model_request_start",
        "agent.thinking",
        "agent.message",
        "span.model_request_end",
      ]);
      assert.deepEqual(test.previews[0], {
        type: "start",
        eventType: "agent.thinking",
        eventId: test.events("agent.thinking")[0]?.id,
      });
      test.send("[more]");
      await test.run(harness);
      // Chat Completions has no signature: open models want the text itself back.
      const sent = JSON.stringify(requests("[more]").at(-1)?.body);
      assert.ok(sent.includes(api === "openai-completions" ? "Let me see." : signature));
    },
  },
  {
    name: "keeps redacted thinking",
    apis: ["anthropic-messages"],
    async run({ harness, script, session, requests }) {
      script({ "[think]": [[thinkRedacted("b3BhcXVl"), say("Seen.")]], "[more]": [say("More.")] });
      const test = session();
      test.send("[think]");
      await test.run(harness);
      assert.equal(test.events("agent.thinking").length, 1);
      test.send("[more]");
      await test.run(harness);
      assert.ok(JSON.stringify(requests("[more]").at(-1)?.body).includes('{"type":"redacted_thinking","data":"b3BhcXVl"}'));
    },
  },
  {
    name: "reports the usage of the response",
    async run({ harness, script, session }) {
      script({ "[usage]": [[say("Counted."), usage({ input: 11, output: 22, cacheRead: 33, cacheWrite: 44 })]] });
      const test = session();
      test.send("[usage]");
      await test.run(harness);
      const { speed: _, ...counts } = test.events("span.model_request_end")[0]?.model_usage ?? {};
      const expected = { input_tokens: 11, output_tokens: 22, cache_read_input_tokens: 33, cache_creation_input_tokens: 44 };
      assert.deepEqual(counts, expected);
    },
  },
  {
    name: "ends the turn when the output or the context is full, with what was said",
    async run({ harness, script, session }) {
      script({
        "[long]": [[say("Cut off he"), stopFor("max_tokens")]],
        "[window]": [[say("No room le"), stopFor("context_window")]],
      });
      const test = session();
      for (const marker of ["[long]", "[window]"]) {
        test.send(marker);
        assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      }
      assert.deepEqual(messages(test), ["Cut off he", "No room le"]);
      assertClosed(test);
    },
  },
];
