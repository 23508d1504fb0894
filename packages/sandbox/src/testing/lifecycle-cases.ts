import { strict as assert } from "node:assert";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import type { ConformanceCase } from "./conformance-case.ts";
import { readAll, readLine, rejectsWith, runCommand } from "./run-command.ts";
import { tellsQuiet } from "./tells-quiet.ts";

/** How long a frozen process is given to show that it is not. */
const FROZEN_FOR_MS = 300;

export const lifecycleCases: readonly ConformanceCase[] = [
  {
    name: "freezes every process while paused, and loses nothing",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      const child = await sandbox.exec(["/bin/bash", "--norc", "-c", "echo ready; (read a; echo got $a) <&0"]);
      await readLine(child.stdout);
      await sandbox.pause();
      await sandbox.pause();
      let answered = false;
      const answer = readLine(child.stdout).then((line) => {
        answered = true;
        return line;
      });
      child.stdin.write("it\n");
      await delay(FROZEN_FOR_MS);
      assert.equal(answered, false);
      await sandbox.resume();
      await sandbox.resume();
      assert.equal(await answer, "got it\n");
      assert.equal((await child.exited).code, 0);
    },
  },
  {
    name: "freezes what is forked at that moment",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      const ticks = "while :; do echo $EPOCHREALTIME; sleep 0.1; done";
      const forks = `for f in {1..4}; do (for n in {1..20}; do (${ticks}) & done; wait) & done; echo ready; wait`;
      const child = await sandbox.exec(["/bin/bash", "--norc", "-c", forks]);
      await readLine(child.stdout);
      let heard = "";
      child.stdout.on("data", (chunk: Buffer) => {
        heard += chunk.toString();
      });
      const times = (): number[] => heard.split("\n").slice(0, -1).map(Number);
      await sandbox.pause();
      const frozenAt = (Date.now() + 1) / 1000;
      await delay(FROZEN_FOR_MS);
      const resumedAt = Date.now() / 1000;
      await sandbox.resume();
      // What was in the pipe comes first.
      while (!times().some((at) => at > resumedAt)) await once(child.stdout, "data");
      assert.deepEqual(
        times().filter((at) => at > frozenAt && at <= resumedAt),
        [],
      );
      await sandbox.destroy();
    },
  },
  {
    name: "runs no command while paused",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      await sandbox.pause();
      await rejectsWith("unavailable", sandbox.exec(["/bin/true"]));
      await sandbox.resume();
      assert.equal((await runCommand(sandbox, "true")).code, 0);
    },
  },
  {
    name: "ends every process when destroyed, even while paused, and is gone then",
    run: async ({ createSandbox }) => {
      for (const paused of [false, true]) {
        const sandbox = await createSandbox();
        const children = await Promise.all(
          [1, 2].map(() => sandbox.exec(["/bin/bash", "--norc", "-c", "echo ready; sleep 1000"])),
        );
        await Promise.all(children.map((child) => readLine(child.stdout)));
        if (paused) await sandbox.pause();
        await Promise.all([sandbox.destroy(), sandbox.destroy()]);
        await Promise.all(children.map((child) => child.exited));
        await Promise.all(children.map((child) => readAll(child.stdout)));
        await sandbox.gone;
        await rejectsWith("destroyed", sandbox.exec(["/bin/true"]));
        await rejectsWith("destroyed", sandbox.readFile("/workspace/a"));
        await sandbox.destroy();
      }
    },
  },
  {
    name: "is quiet when nothing runs that its commands have left in the background",
    run: async ({ createSandbox }) => tellsQuiet(await createSandbox()),
  },
  {
    name: "leaves the volume to the next sandbox",
    run: async ({ createSandbox, createVolume }) => {
      const volume = await createVolume();
      const first = await createSandbox({ volume });
      await runCommand(first, "echo work > w; echo home > ~/h");
      await first.writeFile("/mnt/session/outputs/o", Buffer.from("out\n"));
      await first.destroy();
      const second = await createSandbox({ volume });
      assert.equal((await runCommand(second, "cat w ~/h")).stdout, "work\nhome\n");
      assert.equal(Buffer.from(await second.readFile("/mnt/session/outputs/o")).toString(), "out\n");
    },
  },
  {
    name: "goes on after a session has closed its own directories",
    needs: "isolation",
    run: async ({ createSandbox, createVolume }) => {
      const volume = await createVolume();
      const first = await createSandbox({ volume });
      await runCommand(first, "echo work > w; chmod 000 /workspace ~ /mnt/session/outputs");
      await first.destroy();
      assert.equal((await runCommand(await createSandbox({ volume }), "cat w")).stdout, "work\n");
    },
  },
  {
    name: "keeps sandboxes apart: no files, no temporary files, no processes of another one",
    needs: "isolation",
    run: async ({ createSandbox }) => {
      const [first, second] = [await createSandbox(), await createSandbox()];
      const child = await first.exec([
        "/bin/bash",
        "-c",
        "echo secret > /workspace/s; echo secret > /tmp/s; echo ready; exec -a findme sleep 1000",
      ]);
      await readLine(child.stdout);
      const { stdout } = await runCommand(
        second,
        "cat /workspace/s /tmp/s 2>/dev/null; grep -l 'find''me' /proc/[0-9]*/cmdline; ls /workspace /tmp",
      );
      assert.equal(stdout.includes("secret"), false);
      assert.equal(stdout.includes("/proc/"), false, stdout);
      child.kill("SIGKILL");
    },
  },
];
