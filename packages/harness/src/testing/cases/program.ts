import assert from "node:assert/strict";
import { call, createGate, hold, inOrder, say } from "@sandbox0/testkit";
import { HARNESS_PROGRAMS_DIR, type SandboxProcess } from "@sandbox0/sandbox";
import type { HarnessSandbox } from "../../port.ts";
import { assertClosed, lastGiven, messages } from "../assertions.ts";
import type { HarnessCase } from "../harness-case.ts";
import { textResult } from "../test-session.ts";

/** The programs that a harness starts in a sandbox, and what to start in their place. */
function watchPrograms(): {
  started: SandboxProcess[];
  /** Started instead of the program, as long as it is set. */
  instead: { command: readonly string[] | null };
  wrapSandbox(sandbox: HarnessSandbox): HarnessSandbox;
} {
  const started: SandboxProcess[] = [];
  const instead: { command: readonly string[] | null } = { command: null };
  return {
    started,
    instead,
    wrapSandbox: (sandbox) => ({
      ...sandbox,
      async exec(command, options) {
        // A shell may come before it, which prepares its place and becomes it.
        if (!command.some((part) => part.includes(HARNESS_PROGRAMS_DIR))) return sandbox.exec(command, options);
        const child = await sandbox.exec(instead.command ?? command, options);
        started.push(child);
        return child;
      },
    }),
  };
}

/** What goes wrong with a program in a sandbox; the log must not show it. */
export const programCases: readonly HarnessCase[] = [
  {
    name: "keeps its program for the next turn, and leaves none behind when it is interrupted",
    placement: "agent-in-sandbox",
    async run({ harness, script, session }) {
      const gate = createGate();
      script({
        "[one]": [call("look", {}), say("One.")],
        "[two]": [say("Two.")],
        "[three]": [[say("Thr"), hold(gate), say("ee.")]],
      });
      const programs = watchPrograms();
      const test = session({ tools: { look: () => textResult("looked") }, wrapSandbox: programs.wrapSandbox });
      for (const marker of ["[one]", "[two]"]) {
        test.send(marker);
        assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      }
      assert.equal(programs.started.length, 1);
      test.send("[three]");
      const ended = test.run(harness);
      await gate.reached;
      test.stop();
      assert.deepEqual(await ended, { type: "stopped" });
      await Promise.all(programs.started.map(({ exited }) => exited));
    },
  },
  {
    name: "asks again in a new program when its own is killed in the middle of a response",
    placement: "agent-in-sandbox",
    async run({ harness, script, session }) {
      const gate = createGate();
      script({ "[kill]": [inOrder([say("Half a sen"), hold(gate), say("tence.")], say("A whole one."))] });
      const programs = watchPrograms();
      const test = session({ wrapSandbox: programs.wrapSandbox });
      test.send("[kill]");
      const ended = test.run(harness);
      await gate.reached;
      for (const program of programs.started) program.kill("SIGKILL");
      assert.deepEqual(await ended, { type: "idle", stopReason: "end_turn" });
      assert.deepEqual(messages(test), ["A whole one."]);
      assertClosed(test);
    },
  },
  {
    name: "goes on in another sandbox when its own is lost: between turns, while it waits, and while a tool runs",
    placement: "agent-in-sandbox",
    async run({ harness, script, session, stage, requests }) {
      script({
        "[one]": [say("One.")],
        "[ask]": [call("ask_user", {}), say("Asked.")],
        "[tool]": [call("look", {}), say("Looked.")],
      });
      const look = async () => {
        await stage?.discard(test.sessionId);
        return textResult("seen");
      };
      const test = session({ tools: { look }, customTools: ["ask_user"] });
      test.send("[one]");
      await test.run(harness);
      await stage?.discard(test.sessionId);
      test.send("[ask]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "requires_action" });
      await stage?.discard(test.sessionId);
      test.answerCustom(test.events("agent.custom_tool_use")[0]?.id ?? "", textResult("yes"));
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      test.send("[tool]");
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      assert.deepEqual(messages(test), ["One.", "Asked.", "Looked."]);
      assert.deepEqual(lastGiven(requests("[tool]").at(-1)), ["seen"]);
      assertClosed(test);
    },
  },
  {
    name: "states an error when its program ends at once or speaks nonsense, and works again when it does",
    placement: "agent-in-sandbox",
    async run({ harness, script, session }) {
      script({ "[start]": [say("Here.")] });
      const programs = watchPrograms();
      const test = session({ wrapSandbox: programs.wrapSandbox });
      test.send("[start]");
      const nonsense = 'echo "no json {"; echo "{}"; echo "[1,2"; head -c 100000 /dev/urandom; echo; exit 3';
      for (const command of [["/bin/false"], ["/bin/bash", "--norc", "-c", nonsense], ["/no/such/program"]]) {
        programs.instead.command = command;
        const outcome = await test.run(harness);
        assert.equal(outcome.type === "failed" && outcome.error.disposition, "retryable", command[0]);
        assert.deepEqual(messages(test), []);
      }
      programs.instead.command = null;
      assert.deepEqual(await test.run(harness), { type: "idle", stopReason: "end_turn" });
      assert.deepEqual(messages(test), ["Here."]);
      assert.equal(test.events("span.model_request_end").filter((end) => end.is_error === true).length, 3);
      assertClosed(test);
    },
  },
];
