import assert from "node:assert/strict";
import { call, createGate, hold, say } from "@sandbox0/testkit";
import { assertClosed, lastGiven, messages, types } from "../assertions.ts";
import type { HarnessCase } from "../harness-case.ts";
import { textResult } from "../test-session.ts";

export const stopCases: readonly HarnessCase[] = [
  {
    name: "stops in the middle of a response: the request is cut, and nothing of it stays",
    async run({ harness, provider, script, session, requests }) {
      const gate = createGate();
      script({ "[stream]": [[say("Half of a sen"), hold(gate), say("tence.")]], "[after]": [say("Here again.")] });
      const test = session();
      test.send("[stream]");
      const ended = test.run(harness);
      await gate.reached;
      test.stop();
      assert.deepEqual(await ended, { type: "stopped" });
      const request = await provider.waitForRequest((candidate) =>
        candidate.messages.some(({ text }) => text.includes("[stream]")),
      );
      await request.ended;
      assert.equal(request.state, "abandoned");
      assert.deepEqual(types(test), ["user.message", "span.model_request_start", "span.model_request_end"]);
      assert.equal(test.events("span.model_request_end")[0]?.is_error, true);
      test.send("[after]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      assert.deepEqual(messages(test), ["Here again."]);
      assert.equal(requests("[after]").length, 1);
      assertClosed(test);
    },
  },
  {
    name: "stops before the first byte of a response",
    async run({ harness, script, session }) {
      const gate = createGate();
      script({ "[silent]": [[hold(gate), say("Too late.")]] });
      const test = session();
      test.send("[silent]");
      const ended = test.run(harness);
      await gate.reached;
      test.stop();
      assert.deepEqual(await ended, { type: "stopped" });
      assertClosed(test);
    },
  },
  {
    name: "stops while tools run, and the next turn has a result for every call",
    async run({ harness, script, session, requests }) {
      script({ "[stuck]": [[call("stuck", {}), call("quick", {})]], "[after]": [say("Noted.")] });
      const quickRan = Promise.withResolvers<void>();
      const test = session({
        tools: {
          stuck: (_, signal) =>
            new Promise((resolve) => signal.addEventListener("abort", () => resolve(textResult("never seen")))),
          quick: () => {
            quickRan.resolve();
            return textResult("quick result");
          },
        },
      });
      test.send("[stuck]");
      const ended = test.run(harness);
      await quickRan.promise;
      test.stop();
      assert.deepEqual(await ended, { type: "stopped" });
      assertClosed(test);
      test.send("[after]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      assert.match(lastGiven(requests("[after]").at(-1))[0] ?? "", /interrupted/);
    },
  },
  {
    name: "writes nothing more when the lease is lost at any effect",
    async run({ harness, script, session }) {
      script({ "[lost]": [[say("I look."), call("look", {})], say("Done.")] });
      for (const effect of ["startStep", "finishStep", "executeTool"] as const) {
        const test = session({ tools: { look: () => textResult("looked") } });
        test.holdBefore(effect, async () => test.stop("lease_lost"));
        test.send("[lost]");
        assert.deepEqual(await test.run(harness), { type: "stopped" }, effect);
        assert.deepEqual(messages(test), effect === "executeTool" ? ["I look."] : []);
        assertClosed(test);
      }
    },
  },
];
