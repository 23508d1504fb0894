import assert from "node:assert/strict";
import { call, callRaw, say, type Script } from "@sandbox0/testkit";
import { assertClosed, lastGiven, messages, types } from "../assertions.ts";
import type { HarnessCase } from "../harness-case.ts";
import { textResult } from "../test-session.ts";

export const toolCases: readonly HarnessCase[] = [
  {
    name: "runs a tool and goes on with its result",
    async run({ harness, script, session, requests }) {
      script({ "[tool]": [[say("I look."), call("look", { value: "here", deep: { list: [1, 2] } })], say("Found it.")] });
      const inputs: unknown[] = [];
      const look = (input: unknown) => {
        inputs.push(input);
        return textResult("a key under the mat");
      };
      const test = session({ tools: { look } });
      test.send("[tool]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      const step = ["span.model_request_start", "agent.message"];
      const tool = ["agent.tool_use", "span.model_request_end", "agent.tool_result"];
      assert.deepEqual(types(test), ["user.message", ...step, ...tool, ...step, "span.model_request_end"]);
      assert.deepEqual(inputs, [{ value: "here", deep: { list: [1, 2] } }]);
      assert.deepEqual(lastGiven(requests("[tool]").at(-1)), ["a key under the mat"]);
      assertClosed(test);
    },
  },
  {
    name: "runs the calls of one response side by side, and gives every result to its call",
    async run({ harness, script, session, requests }) {
      script({ "[both]": [[call("slow", { value: "1" }), call("fast", { value: "2" })], say("Both done.")] });
      const fastRan = Promise.withResolvers<void>();
      const slow = async () => {
        await fastRan.promise;
        return textResult("slow result");
      };
      const fast = () => {
        fastRan.resolve();
        return textResult("fast result");
      };
      const test = session({ tools: { slow, fast } });
      test.send("[both]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      assert.deepEqual(lastGiven(requests("[both]").at(-1)), ["slow result", "fast result"]);
      assertClosed(test);
    },
  },
  {
    name: "calls the tool of an MCP server, and remembers it under its name",
    async run({ harness, script, session, requests }) {
      // Codex keeps names that begin with `mcp__` to itself: the model knows the tool by the name it was offered under.
      const offered = (names: readonly string[]): string => names.find((name) => name.endsWith("_eyes__look")) ?? "";
      const look: Script = ({ toolNames }) => call(offered(toolNames), { value: "up" });
      script({ "[mcp]": [look, say("A bird.")], "[more]": [say("Still there.")] });
      const test = session({ mcpTools: { mcp__eyes__look: ({ value }) => textResult(`saw ${String(value)}`) } });
      test.send("[mcp]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      const [use] = test.events("agent.mcp_tool_use");
      assert.deepEqual([use?.mcp_server_name, use?.name, use?.input], ["eyes", "look", { value: "up" }]);
      assert.deepEqual(lastGiven(requests("[mcp]").at(-1)), ["saw up"]);
      test.dropNative();
      test.send("[more]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      const last = requests("[more]").at(-1);
      const calls = last?.messages.flatMap((message) => message.calls.map(({ name }) => name));
      assert.deepEqual(calls, [harness.name === "codex" ? "mcp_eyes__look" : "mcp__eyes__look"]);
      assert.deepEqual(calls, [offered(last?.toolNames ?? [])]);
      assertClosed(test);
    },
  },
  {
    name: "gives a long result to the model as it is",
    async run({ harness, script, session, requests }) {
      script({ "[long]": [call("look", {}), say("Long.")] });
      const long = `begin ${"0123456789 ".repeat(9_000)} end`;
      const test = session({ tools: { look: () => textResult(long) } });
      test.send("[long]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      assert.deepEqual(lastGiven(requests("[long]").at(-1)), [long]);
    },
  },
  {
    name: "gives a tool's error back to the model, as an error",
    async run({ harness, api, script, session, requests }) {
      script({ "[fails]": [call("broken", {}), say("I see.")] });
      const test = session({ tools: { broken: () => textResult("no such file", true) } });
      test.send("[fails]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      const result = requests("[fails]").at(-1)?.messages.at(-1)?.results[0];
      assert.ok(result !== undefined);
      assert.ok(result.text.includes("no such file"));
      assert.ok(api === "anthropic-messages" ? result.isError : /error/i.test(result.text));
    },
  },
  {
    name: "goes on after a call of a tool that does not exist",
    async run({ harness, script, session, requests }) {
      script({ "[unknown]": [call("no_such_tool", {}), say("Sorry.")] });
      const test = session({ tools: { look: () => textResult("") } });
      test.send("[unknown]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      assert.match(lastGiven(requests("[unknown]").at(-1))[0] ?? "", /no_such_tool/);
      assertClosed(test);
    },
  },
  {
    name: "answers arguments that are not a JSON object, and runs nothing",
    async run({ harness, script, session, requests }) {
      const bad = ['{"value": "cut', "[1, 2]", "not json"];
      script({ "[bad]": [bad.map((argumentsText) => callRaw("look", argumentsText)), say("Again, then.")] });
      let ran = 0;
      const test = session({
        tools: {
          look: () => {
            ran += 1;
            return textResult("");
          },
        },
      });
      test.send("[bad]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      assert.equal(ran, 0);
      assert.equal(test.events("agent.tool_result").filter((result) => result.is_error).length, bad.length);
      assert.equal(lastGiven(requests("[bad]").at(-1)).length, bad.length);
      assert.deepEqual(messages(test), ["Again, then."]);
      assertClosed(test);
    },
  },
  {
    name: "takes calls without arguments, with long ones, and with any characters",
    async run({ harness, script, session }) {
      const value = `"quotes" \\ and \n lines, 😀, and ${"length ".repeat(3000)}`;
      script({ "[odd]": [[callRaw("look", ""), call("look", { value })], say("Fine.")] });
      const inputs: Record<string, unknown>[] = [];
      const test = session({
        tools: {
          look: (input) => {
            inputs.push(input);
            return { content: [], isError: false };
          },
        },
      });
      test.send("[odd]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      assert.deepEqual(inputs, [{}, { value }]);
    },
  },
  {
    name: "goes on for many steps",
    async run({ harness, script, session }) {
      const steps = Array.from({ length: 12 }, (_, index) => call("count", { value: String(index) }));
      script({ "[many]": [...steps, say("Counted.")] });
      const test = session({ tools: { count: ({ value }) => textResult(`counted ${String(value)}`) } });
      test.send("[many]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      assert.equal(test.events("agent.tool_result").length, 12);
      assertClosed(test);
    },
  },
];
