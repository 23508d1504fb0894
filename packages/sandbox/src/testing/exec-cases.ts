import { strict as assert } from "node:assert";
import type { Readable } from "node:stream";
import { BASE_ENV } from "../layout.ts";
import { bytesKept } from "./bytes-kept.ts";
import type { ConformanceCase } from "./conformance-case.ts";
import { readAll, readLine, runCommand } from "./run-command.ts";

const MIB = 1024 * 1024;
/** Variables that bash itself makes. */
const SHELL_VARIABLES = ["PWD", "SHLVL", "_", "OLDPWD"];

export const execCases: readonly ConformanceCase[] = [
  {
    name: "gives back stdout, stderr and the exit status",
    run: async ({ createSandbox }) => {
      const result = await runCommand(await createSandbox(), "echo out; echo err >&2; exit 3");
      assert.deepEqual(result, { code: 3, signal: null, stdout: "out\n", stderr: "err\n" });
    },
  },
  {
    name: "passes arguments as they are",
    run: async ({ createSandbox }) => {
      const args = ["", "a b", "$HOME", "'", '"', "\n", "--", "-c", "ümläut"];
      const child = await (await createSandbox()).exec(["/usr/bin/printf", "%s\\0", ...args]);
      assert.deepEqual((await readAll(child.stdout)).split("\0").slice(0, -1), args);
    },
  },
  {
    name: "feeds stdin and closes it",
    run: async ({ createSandbox }) => {
      const { stdout } = await runCommand(await createSandbox(), "cat; echo end", { input: "in" });
      assert.equal(stdout, "inend\n");
    },
  },
  {
    name: "drops input to a command that has ended",
    run: async ({ createSandbox }) => {
      const child = await (await createSandbox()).exec(["/bin/true"]);
      child.stdout.resume();
      await child.exited;
      for (let i = 0; i < 10; i++) child.stdin.write(Buffer.alloc(MIB));
      child.stdin.end();
    },
  },
  {
    name: "has the environment of the sandbox and the call, and nothing of the host's",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox({ env: { FROM_SPEC: "1", BOTH: "spec" } });
      const { stdout } = await runCommand(sandbox, "env -0", { env: { FROM_CALL: "2", BOTH: "call" } });
      const names = new Map(
        stdout
          .split("\0")
          .filter((line) => line !== "")
          .map((line) => line.split("=") as [string, string]),
      );
      assert.equal(names.get("FROM_SPEC"), "1");
      assert.equal(names.get("FROM_CALL"), "2");
      assert.equal(names.get("BOTH"), "call");
      const expected = [...Object.keys(BASE_ENV), ...SHELL_VARIABLES, "FROM_SPEC", "FROM_CALL", "BOTH"];
      assert.deepEqual(
        [...names.keys()].filter((name) => !expected.includes(name)),
        [],
      );
    },
  },
  {
    name: "starts in the workspace, or where the call says",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      await runCommand(sandbox, "touch here; mkdir sub; touch sub/there");
      assert.equal((await runCommand(sandbox, "ls")).stdout, "here\nsub\n");
      assert.equal((await runCommand(sandbox, "ls", { cwd: "/workspace/sub" })).stdout, "there\n");
    },
  },
  {
    name: "ends with a status, not an exception, when there is no such command",
    run: async ({ createSandbox }) => {
      const child = await (await createSandbox()).exec(["/nowhere/to-be-found"]);
      child.stdout.resume();
      child.stderr.resume();
      const exit = await child.exited;
      assert.ok(exit.code !== 0 && exit.code !== null, JSON.stringify(exit));
    },
  },
  {
    name: "delivers a signal that the command can handle",
    run: async ({ createSandbox }) => {
      const child = await (await createSandbox()).exec([
        "/bin/bash",
        "-c",
        "trap 'echo got; exit 7' TERM; echo ready; while :; do sleep 0.05; done",
      ]);
      await readLine(child.stdout);
      child.kill("SIGTERM");
      assert.equal(await readLine(child.stdout), "got\n");
      assert.deepEqual(await child.exited, { code: 7, signal: null });
    },
  },
  {
    name: "says which signal ended the command",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      for (const signal of ["SIGTERM", "SIGKILL"] as const) {
        const child = await sandbox.exec(["/bin/bash", "--norc", "-c", "echo ready; exec sleep 1000"]);
        await readLine(child.stdout);
        child.kill(signal);
        assert.deepEqual(await child.exited, { code: null, signal });
      }
    },
  },
  {
    name: "stops the command when the signal of the call aborts, before and after the start",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      const abort = new AbortController();
      const child = await sandbox.exec(["/bin/bash", "--norc", "-c", "echo ready; sleep 1000"], { signal: abort.signal });
      await readLine(child.stdout);
      abort.abort();
      assert.equal((await child.exited).signal, "SIGKILL");
      const late = await sandbox.exec(["/bin/sleep", "1000"], { signal: abort.signal });
      assert.equal((await late.exited).signal, "SIGKILL");
    },
  },
  {
    name: "kills every descendant with the command, sessions of their own included",
    needs: "isolation",
    run: async ({ createSandbox }) => {
      const script = "setsid sleep 1000 & (setsid bash -c 'sleep 1000 & sleep 1000' &) ; echo ready; wait";
      const child = await (await createSandbox()).exec(["/bin/bash", "--norc", "-c", script]);
      await readLine(child.stdout);
      child.kill("SIGKILL");
      // They all hold its stdout: it ends when the last of them has gone.
      await readAll(child.stdout);
    },
  },
  {
    name: "runs commands side by side",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      const results = await Promise.all(Array.from({ length: 10 }, (_, i) => runCommand(sandbox, `echo ${i}; exit ${i}`)));
      assert.deepEqual(
        results.map(({ code, stdout }) => [code, stdout]),
        results.map((_, i) => [i, `${i}\n`]),
      );
    },
  },
  {
    name: "holds a command back while its output is not read, and loses none of it",
    run: async ({ createSandbox }) => {
      const bytes = 256 * MIB;
      const bytesPerLook = 8 * MIB;
      const child = await (await createSandbox()).exec(["/bin/bash", "--norc", "-c", `head -c ${bytes} /dev/zero`]);
      const stdout = child.stdout as Readable;
      await new Promise<void>((resolve) => stdout.once("readable", resolve));
      const before = bytesKept();
      let received = 0;
      let looks = 0;
      let peak = before;
      for await (const chunk of stdout) {
        received += (chunk as Buffer).length;
        if (received < looks * bytesPerLook) continue;
        looks++;
        peak = Math.max(peak, bytesKept());
      }
      assert.equal(received, bytes);
      assert.ok(peak - before < bytes / 2, `${peak - before} bytes more in memory`);
      assert.equal((await child.exited).code, 0);
    },
  },
];
