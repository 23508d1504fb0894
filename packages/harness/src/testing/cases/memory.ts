import assert from "node:assert/strict";
import { call, say, think } from "@sandbox0/testkit";
import { assertClosed, lastGiven, messages } from "../assertions.ts";
import type { HarnessCase } from "../harness-case.ts";
import { textResult } from "../test-session.ts";

export const memoryCases: readonly HarnessCase[] = [
  {
    name: "remembers earlier turns",
    async run({ harness, script, session, requests }) {
      script({
        "[first]": [[think("Hm."), say("I look."), call("look", {})], say("It is blue.")],
        "[second]": [say("As I said, blue.")],
      });
      const test = session({ tools: { look: () => textResult("blue") } });
      test.send("[first] What colour is it?");
      await test.run(harness);
      test.send("[second] And again?");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      const seen = requests("[second]")
        .at(-1)
        // A program in a sandbox says in the system's words where it is.
        ?.messages.filter(({ role }) => role !== "system")
        .map((message) => message.text || message.results[0]?.text);
      assert.deepEqual(seen, ["[first] What colour is it?", "I look.", "blue", "It is blue.", "[second] And again?"]);
      assertClosed(test);
    },
  },
  {
    name: "needs the log alone: goes on when everything stored beside it is gone",
    async run({ harness, script, session, requests }) {
      const turn = [[think("Hm."), say("I look."), call("look", { value: "a" }), call("ask_user", {})], say("Blue, you say.")];
      script({ "[first]": turn, "[second]": [say("Still blue.")] });
      const test = session({ tools: { look: () => textResult("looked") }, customTools: ["ask_user"] });
      test.send("[first]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "requires_action" });
      test.dropNative();
      test.answerCustom(test.events("agent.custom_tool_use")[0]?.id ?? "", textResult("blue"));
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      assert.deepEqual(lastGiven(requests("[first]").at(-1)), ["looked", "blue"]);
      test.dropNative();
      test.send("[second]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      const [, assistant] = requests("[second]").at(-1)?.messages ?? [];
      assert.equal(assistant?.text, "I look.");
      assert.deepEqual(
        assistant.calls.map((made) => made.name),
        ["look", "ask_user"],
      );
      assert.deepEqual(messages(test), ["I look.", "Blue, you say.", "Still blue."]);
    },
  },
  {
    name: "runs first the calls that a crash left without a result",
    async run({ harness, script, session, requests }) {
      script({ "[crash]": [[call("look", { value: "1" }), call("look", { value: "2" })], say("Both seen.")] });
      const test = session({ tools: { look: ({ value }) => textResult(`saw ${String(value)}`) } });
      let crash = true;
      test.holdBefore("executeTool", async () => {
        if (crash) throw new Error("the process died here");
      });
      test.send("[crash]");
      await assert.rejects(test.run(harness), /the process died here/);
      crash = false;
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      assert.deepEqual(lastGiven(requests("[crash]").at(-1)), ["saw 1", "saw 2"]);
      assert.equal(requests("[crash]").length, 2);
      assertClosed(test);
    },
  },
  {
    name: "sends a valid conversation even when a call has no result on the log",
    async run({ harness, script, session, requests }) {
      script({ "[open]": [call("ask_user", {})], "[next]": [say("Never mind.")] });
      const test = session({ customTools: ["ask_user"] });
      test.send("[open]");
      await test.run(harness);
      test.send("[next]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      assert.match(lastGiven(requests("[next]").at(-1))[0] ?? "", /interrupted/);
    },
  },
  {
    name: "gives a system message to the model where it came",
    async run({ harness, script, session, requests }) {
      script({ "[one]": [say("One.")], "[two]": [say("Two.")] });
      const test = session();
      test.send("[one]");
      await test.run(harness);
      test.instruct("From now on answer in rhyme.");
      test.send("[two]");
      await test.run(harness);
      const request = requests("[two]").at(-1);
      const at = request?.messages.findIndex((message) => message.text.includes("answer in rhyme")) ?? -1;
      assert.ok(at > (request?.messages.findIndex((message) => message.text === "One.") ?? -1));
      assert.ok(!request?.system.includes("answer in rhyme"));
    },
  },
];
