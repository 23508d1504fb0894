import assert from "node:assert/strict";
import { text } from "node:stream/consumers";
import { call, inOrder, say, think } from "@sandbox0/testkit";
import type { SandboxProcess } from "@sandbox0/sandbox";
import { afterAll, test } from "vitest";
import { type HarnessCase, openSandboxStage, runHarnessCase, textResult } from "../testing/index.ts";
import { createClaude } from "./claude.ts";
import { CLAUDE_PATH, findClaudeProgram } from "./find-claude-program.ts";

const program = findClaudeProgram();
if ("unavailable" in program) throw new Error(program.unavailable);
const stage = await openSandboxStage([program]);
const claude = createClaude({ program });
const other = createClaude({ program });
const hasty = createClaude({ program, times: { startMsMax: 500, idleMsMax: 50 } });
afterAll(async () => {
  await Promise.all([claude, other, hasty].map((each) => each.close()));
  await stage.close();
});

const run = (body: HarnessCase["run"], harness = claude): Promise<void> =>
  runHarnessCase({ name: "", run: body }, harness, "anthropic-messages", stage);

test("two servers take turns with one session: each goes on from the log, whatever program the other has kept", () =>
  run(async ({ script, session, requests }) => {
    script({
      "[first]": [[think("Hm."), call("ask_user", {}), call("look", {})], say("Blue.")],
      "[second]": [say("Still blue.")],
      "[third]": [say("Blue, as ever.")],
    });
    const session1 = session({ tools: { look: () => textResult("looked") }, customTools: ["ask_user"] });
    session1.send("[first]");
    assert.deepEqual(await session1.run(claude), { type: "idle", stopReason: "requires_action" });
    session1.answerCustom(session1.events("agent.custom_tool_use")[0]?.id ?? "", textResult("blue"));
    assert.deepEqual(await session1.run(other), { type: "idle", stopReason: "end_turn" });
    session1.send("[second]");
    assert.deepEqual(await session1.run(claude), { type: "idle", stopReason: "end_turn" });
    session1.send("[third]");
    assert.deepEqual(await session1.run(other), { type: "idle", stopReason: "end_turn" });
    const said = requests("[third]")
      .at(-1)
      ?.messages.filter(({ role }) => role !== "system")
      .map((message) => message.text || message.results.map((result) => result.text).join());
    assert.deepEqual(said, ["[first]", "", "blue,looked", "Blue.", "[second]", "Still blue.", "[third]"]);
  }));

test("a session of several turns sends out nothing but its model requests, and keeps no token in a file", () =>
  run(async ({ script, session, provider }) => {
    const before = stage.sent.length;
    script({ "[a]": [call("look", {}), say("A.")], "[b]": [say("B.")], "[c]": [say("C.")] });
    const watched = session({ tools: { look: () => textResult("looked") } });
    for (const marker of ["[a]", "[b]", "[c]"]) {
      watched.send(marker);
      assert.deepEqual(await watched.run(claude), { type: "idle", stopReason: "end_turn" });
    }
    const spans = watched.events("span.model_request_start").length;
    assert.equal(provider.received, spans);
    assert.ok(provider.requests.every(({ model }) => model === "claude-opus-5"));
    const sent = stage.sent.slice(before).map((line) => line.replace(/\?.*/, ""));
    assert.deepEqual(sent, Array(spans).fill("POST /v1/messages"));
    const token = String(provider.requests[0]?.headers["x-api-key"]);
    assert.ok(token.length > 10);
    const { sandbox } = await stage.pool.claim(watched.sessionId, null);
    const child = await sandbox.exec(["grep", "-rlF", "--", token.slice(-20), "/home", "/tmp", "/workspace", "/mnt"]);
    child.stdin.end();
    child.stderr.resume();
    assert.equal(await text(child.stdout), "");
  }));

test("a program that hangs is replaced once; a second time is an error that may pass", () =>
  run(async ({ script, session }) => {
    script({ "[hang]": [inOrder(say("There."))] });
    const started: Promise<SandboxProcess>[] = [];
    const hanging = session({
      wrapSandbox: (sandbox) => ({
        ...sandbox,
        exec(command, options) {
          if (command[0] !== CLAUDE_PATH) return sandbox.exec(command, options);
          // Noted at once: it may be given up before it has come up.
          const child = sandbox.exec(["sleep", "1000"], options);
          started.push(child);
          return child;
        },
      }),
    });
    hanging.send("[hang]");
    const outcome = await hanging.run(hasty);
    assert.equal(outcome.type === "failed" && outcome.error.disposition, "retryable");
    assert.equal(started.length, 2);
    await Promise.all(started.map(async (child) => (await child).exited));
  }, hasty));

test("a program nobody asks anything is ended, and the next turn starts another", () =>
  run(async ({ script, session }) => {
    script({ "[a]": [say("A.")], "[b]": [say("B.")] });
    const started: SandboxProcess[] = [];
    const quick = createClaude({ program, times: { idleMsMax: 50 } });
    const idle = session({
      wrapSandbox: (sandbox) => ({
        ...sandbox,
        async exec(command, options) {
          const child = await sandbox.exec(command, options);
          if (command[0] === CLAUDE_PATH) started.push(child);
          return child;
        },
      }),
    });
    for (const [index, marker] of ["[a]", "[b]"].entries()) {
      idle.send(marker);
      assert.deepEqual(await idle.run(quick), { type: "idle", stopReason: "end_turn" });
      await started[index]?.exited;
    }
    assert.equal(started.length, 2);
    await quick.close();
  }));
