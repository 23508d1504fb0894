import assert from "node:assert/strict";
import { call, say } from "@sandbox0/testkit";
import { assertClosed, lastGiven, messages } from "../assertions.ts";
import type { HarnessCase } from "../harness-case.ts";
import { textResult } from "../test-session.ts";

export const waitCases: readonly HarnessCase[] = [
  {
    name: "waits for the client's own tool, and goes on with its result",
    async run({ harness, script, session, requests }) {
      script({ "[custom]": [call("ask_user", { value: "Which colour?" }), say("Blue it is.")] });
      const test = session({ customTools: ["ask_user"] });
      test.send("[custom]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "requires_action" });
      assert.equal(requests("[custom]").length, 1);
      test.answerCustom(test.events("agent.custom_tool_use")[0]?.id ?? "", textResult("blue"));
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      assert.deepEqual(lastGiven(requests("[custom]").at(-1)), ["blue"]);
      assert.deepEqual(messages(test), ["Blue it is."]);
      assertClosed(test);
    },
  },
  {
    name: "runs what may run at once while another call of the response waits",
    async run({ harness, script, session, requests }) {
      script({ "[mixed]": [[call("ask_user", {}), call("look", {}), call("risky", {})], say("All there.")] });
      const tools = { look: () => textResult("looked"), risky: () => textResult("done") };
      const test = session({ tools, customTools: ["ask_user"], ask: ["risky"] });
      test.send("[mixed]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "requires_action" });
      assert.deepEqual(
        test.events("agent.tool_result").map((result) => result.content),
        [[{ type: "text", text: "looked" }]],
      );
      // One of two answers: the call that was allowed runs, the model is not asked.
      test.confirm(test.events("agent.tool_use").find((use) => use.name === "risky")?.id ?? "", "allow");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "requires_action" });
      assert.equal(requests("[mixed]").length, 1);
      test.answerCustom(test.events("agent.custom_tool_use")[0]?.id ?? "", textResult("yes"));
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      assert.deepEqual(lastGiven(requests("[mixed]").at(-1)), ["yes", "looked", "done"]);
      assertClosed(test);
    },
  },
  {
    name: "runs a call only when it is allowed, and tells the model of a denied one",
    async run({ harness, script, session, requests }) {
      script({ "[ask]": [[call("risky", { value: "a" }), call("risky", { value: "b" })], say("Understood.")] });
      const ran: unknown[] = [];
      const risky = ({ value }: Record<string, unknown>) => {
        ran.push(value);
        return textResult(`did ${String(value)}`);
      };
      const test = session({ tools: { risky }, ask: ["risky"] });
      test.send("[ask]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "requires_action" });
      assert.deepEqual(ran, []);
      const [first, second] = test.events("agent.tool_use");
      test.confirm(first?.id ?? "", "allow");
      test.confirm(second?.id ?? "", "deny", "not on a Friday");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      assert.deepEqual(ran, ["a"]);
      const given = lastGiven(requests("[ask]").at(-1));
      assert.equal(given[0], "did a");
      assert.match(given[1] ?? "", /not on a Friday/);
      assertClosed(test);
    },
  },
  {
    name: "takes up at the next step what was sent while a tool ran",
    async run({ harness, script, session, requests }) {
      script({ "[start]": [call("look", {})], "[meanwhile]": [say("Both, then.")] });
      const test = session({
        tools: {
          look: () => {
            test.send("[meanwhile] and one more thing");
            return textResult("looked");
          },
        },
      });
      test.send("[start]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      assert.deepEqual(messages(test), ["Both, then."]);
      assert.deepEqual(lastGiven(requests("[meanwhile]").at(-1)), ["looked"]);
    },
  },
];
