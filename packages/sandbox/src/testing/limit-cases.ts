import { strict as assert } from "node:assert";
import { chown, mkdir, rm, stat } from "node:fs/promises";
import type { ConformanceCase } from "./conformance-case.ts";
import { runCommand } from "./run-command.ts";

const MIB = 1024 * 1024;

export const limitCases: readonly ConformanceCase[] = [
  {
    name: "ends what uses more memory than allowed, and nothing else",
    needs: "memoryBytesMax",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox({ limits: { memoryBytesMax: 128 * MIB } });
      const hog = await sandbox.exec(["/usr/bin/sort", "/dev/zero"]);
      hog.stdout.resume();
      hog.stderr.resume();
      assert.equal((await hog.exited).killedBy, "memory");
      assert.equal((await runCommand(sandbox, "echo fine")).stdout, "fine\n");
    },
  },
  {
    name: "lets no more processes be than allowed",
    needs: "processesMax",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox({ limits: { processesMax: 40 } });
      // `perl -e` would do without; bash itself waits long before it gives up forking.
      const bomb = await sandbox.exec(["/bin/bash", "--norc", "-c", "bomb() { bomb | bomb & }; bomb; sleep 1000"]);
      bomb.stderr.resume();
      bomb.stdout.resume();
      const child = await sandbox.exec(["/bin/bash", "--norc", "-c", "for i in $(seq 200); do sleep 1000 & done; echo all"]);
      child.stdout.resume();
      let complained = "";
      await new Promise<void>((resolve) => {
        child.stderr.on("data", (chunk: Buffer) => {
          complained += chunk.toString("utf8");
          if (complained.includes("\n")) resolve();
        });
        child.stderr.on("end", resolve);
      });
      assert.match(complained, /Resource temporarily unavailable|Cannot fork/);
      bomb.kill("SIGKILL");
      child.kill("SIGKILL");
      await Promise.all([bomb.exited, child.exited]);
      assert.equal((await runCommand(sandbox, "echo fine | cat")).stdout, "fine\n");
    },
  },
  {
    name: "ends what fills the disk, and lets it be cleaned up",
    needs: "diskBytesMax",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox({ limits: { diskBytesMax: 64 * MIB } });
      const fill = await runCommand(sandbox, "i=0; while :; do head -c 8M /dev/zero > fill-$i; i=$((i+1)); done");
      assert.equal(fill.killedBy, "disk", JSON.stringify(fill));
      const clean = await runCommand(sandbox, "rm -f fill-*; echo small > small; cat small");
      assert.equal(clean.stdout, "small\n");
      const again = await runCommand(sandbox, "head -c 8M /dev/zero > ok && echo ok");
      assert.equal(again.stdout, "ok\n");
    },
  },
  {
    name: "counts files that have no name any more, and temporary ones",
    needs: "diskBytesMax",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox({ limits: { diskBytesMax: 64 * MIB } });
      const unnamed = await runCommand(
        sandbox,
        "for i in $(seq 20); do exec {fd}>gone; rm gone; head -c 8M /dev/zero >&$fd; done; sleep 1000",
      );
      assert.equal(unnamed.killedBy, "disk", JSON.stringify(unnamed));
      const temporary = await runCommand(sandbox, "cd /tmp; i=0; while :; do head -c 8M /dev/zero > fill-$i; i=$((i+1)); done");
      assert.equal(temporary.killedBy, "disk", JSON.stringify(temporary));
    },
  },
  {
    name: "counts what is written into other mounts",
    needs: "diskBytesMax",
    run: async ({ createSandbox, createVolume }) => {
      const volume = await createVolume();
      const source = `${volume.path}-mounted`;
      await mkdir(source, { mode: 0o700 });
      const { uid, gid } = await stat(volume.path);
      await chown(source, uid, gid);
      try {
        const equipment = { mounts: [{ source, at: "/mnt/memory/notes", writable: true }], layers: [] };
        const sandbox = await createSandbox({ volume, equipment, limits: { diskBytesMax: 64 * MIB } });
        const fill = await runCommand(
          sandbox,
          "cd /mnt/memory/notes; i=0; while :; do head -c 8M /dev/zero > fill-$i; i=$((i+1)); done",
        );
        assert.equal(fill.killedBy, "disk", JSON.stringify(fill));
      } finally {
        await rm(source, { recursive: true });
      }
    },
  },
  {
    name: "lets no single file grow beyond the disk's budget",
    needs: "diskBytesMax",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox({ limits: { diskBytesMax: 8 * MIB } });
      const { stdout } = await runCommand(sandbox, "truncate -s 9M big 2>/dev/null; stat -c %s big 2>/dev/null || echo 0");
      assert.ok(Number(stdout) <= 8 * MIB, stdout);
    },
  },
  {
    name: "lets no more files be open in a process than allowed",
    needs: "openFilesMax",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox({ limits: { openFilesMax: 64 } });
      const { stdout, stderr } = await runCommand(
        sandbox,
        "n=0; while exec {fd}</dev/null; do n=$((n+1)); [ $n -gt 100 ] && break; done; echo $n",
      );
      assert.ok(stdout === "" || Number(stdout) < 64, `${stdout} ${stderr}`);
      assert.equal((await runCommand(sandbox, "ulimit -Hn")).stdout, "64\n");
    },
  },
  {
    name: "gives no more processor time than allowed",
    needs: "cpuCoresMax",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox({ limits: { cpuCoresMax: 0.2 } });
      // Two busy processes for two seconds by the clock, or what the machine makes of that: user and system seconds of all.
      const { stdout } = await runCommand(
        sandbox,
        "echo $EPOCHREALTIME; for i in 1 2; do timeout 2 bash -c 'while :; do :; done' & done; wait; echo $EPOCHREALTIME; times",
      );
      const [from, to, , ofChildren = ""] = stdout.split("\n");
      const tookSeconds = Number(to) - Number(from);
      const used = [...ofChildren.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
        (sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds),
        0,
      );
      assert.ok(used > 0 && used < 0.2 * tookSeconds + 0.8, `${used} seconds: ${stdout}`);
    },
  },
];
