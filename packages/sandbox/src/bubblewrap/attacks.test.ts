import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createSandboxPool, type ClaimedSandbox, type SandboxPool } from "../pool.ts";
import type { CallOptions } from "../tool-server/tool-client.ts";
import { createBubblewrapDriver } from "./driver.ts";

const MIB = 1024 * 1024;
const LIMITS = { memoryBytesMax: 256 * MIB, processesMax: 64, diskBytesMax: 256 * MIB, openFilesMax: 512, cpuCoresMax: 1 };

let dir: string;
let pool: SandboxPool;
let attacker: ClaimedSandbox;
let neighbour: ClaimedSandbox;
let sessions = 0;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sandbox0-attacks-"));
  pool = await createSandboxPool(createBubblewrapDriver({ dir }), { dir, limits: LIMITS, warmCount: 0 });
});

beforeEach(async () => {
  sessions++;
  attacker = await pool.claim(`attacker_${sessions}`, null);
  neighbour = await pool.claim(`neighbour_${sessions}`, null);
});

afterAll(async () => {
  await pool.close();
  await rm(dir, { recursive: true, force: true });
});

interface Outcome {
  text: string;
  isError: boolean;
}

async function call({ tools }: ClaimedSandbox, name: string, input: unknown, options?: CallOptions): Promise<Outcome> {
  const { content, isError } = await tools.call(name, input, options);
  return { text: content.map((block) => (block.type === "text" ? block.text : "")).join(""), isError };
}

const bash = (claimed: ClaimedSandbox, command: string, timeout_ms = 60_000): Promise<Outcome> =>
  call(claimed, "bash", { command, timeout_ms });

/** The attack goes on while the other session does an ordinary day's work. */
async function expectNeighbourWorks(): Promise<void> {
  expect(await bash(neighbour, "for i in $(seq 20); do echo $i | cat; done | tail -n 1")).toEqual({ text: "20", isError: false });
  expect((await call(neighbour, "write", { file_path: "notes", content: "fine" })).isError).toBe(false);
  expect(await call(neighbour, "read", { file_path: "notes" })).toEqual({ text: "fine", isError: false });
}

async function expectAttackerCanGoOn(): Promise<void> {
  expect(await bash(attacker, "echo alive | cat")).toEqual({ text: "alive", isError: false });
  expect((await call(attacker, "write", { file_path: "after", content: "fine" })).isError).toBe(false);
}

describe("a session that takes all it can", { timeout: 300_000 }, () => {
  test("forks without end", async () => {
    const bomb = bash(attacker, "bomb() { bomb | bomb & }; bomb; sleep 1000", 3000);
    await expectNeighbourWorks();
    expect((await bomb).isError).toBe(true);
    await expectAttackerCanGoOn();
  });

  test("uses up its memory, in one process and in many", async () => {
    const hog = bash(attacker, "sort /dev/zero");
    await expectNeighbourWorks();
    expect((await hog).isError).toBe(true);
    const many = bash(
      attacker,
      "for i in $(seq 20); do (x=$(head -c 60000000 /dev/zero | tr '\\0' x); sleep 2) & done; wait; echo over",
    );
    await expectNeighbourWorks();
    await many;
    await expectAttackerCanGoOn();
  });

  test("fills its memory with files in /dev/shm and with message segments", async () => {
    await bash(attacker, "head -c 1G /dev/zero > /dev/shm/full; ls -s /dev/shm");
    expect((await bash(attacker, "du -sm /dev/shm | cut -f1")).text).toMatch(/^(6[0-4]|[0-5]?[0-9])$/);
    await bash(attacker, "for i in $(seq 40); do ipcmk --shmem 20000000 >/dev/null; done; ipcs -m | wc -l");
    await expectNeighbourWorks();
    await bash(attacker, "rm -f /dev/shm/full");
    await expectAttackerCanGoOn();
  });

  test("fills its disk, with large files, small ones and directories", async () => {
    const small = await mkdtemp(join(dir, "small-"));
    const smallPool = await createSandboxPool(createBubblewrapDriver({ dir: small }), {
      dir: small,
      limits: { ...LIMITS, diskBytesMax: 16 * MIB },
      warmCount: 0,
    });
    attacker = await smallPool.claim("attacker", null);
    for (const fill of [
      "i=0; while head -c 4M /dev/zero > big-$i; do i=$((i+1)); done; sleep 1000",
      "mkdir -p s; cd s; while :; do split -a 6 -l 1 <(seq 5000) $RANDOM; done",
      "cd /tmp; while :; do mkdir -p $RANDOM/$RANDOM/$RANDOM/$RANDOM; done",
    ]) {
      const filling = bash(attacker, fill, 100_000);
      await expectNeighbourWorks();
      expect(await filling).toMatchObject({ isError: true, text: expect.stringContaining("disk space is used up") });
      expect(await bash(attacker, "cd /workspace; rm -rf big-* s /tmp/[0-9]*; echo cleaned")).toEqual({
        text: "cleaned",
        isError: false,
      });
    }
    await expectAttackerCanGoOn();
    await smallPool.close();
  });

  test("prints without end", async () => {
    const flood = call(attacker, "bash", { command: "yes", timeout_ms: 3000 });
    await expectNeighbourWorks();
    expect(await flood).toEqual({ text: "bash: bash command timed out after 3000ms", isError: true });
    // In the background, when nobody listens.
    await bash(attacker, "yes & yes >&2 &");
    await expectNeighbourWorks();
    expect((await call(attacker, "bash", { restart: true })).isError).toBe(false);
    await expectAttackerCanGoOn();
  });

  test("opens every file it can", async () => {
    const { text } = await bash(attacker, "n=0; while exec {fd}</dev/null; do n=$((n+1)); done 2>/dev/null; echo $n");
    expect(text === "" || Number(text) < LIMITS.openFilesMax || text.includes("terminated")).toBe(true);
    await call(attacker, "bash", { restart: true });
    await expectAttackerCanGoOn();
  });
});

describe("a session that wants to be somewhere else", () => {
  test("kills everything in sight", async () => {
    await bash(attacker, "kill -9 -1; kill -9 $$");
    await expectNeighbourWorks();
    await expectAttackerCanGoOn();
  });

  test("stops its own shell", async () => {
    expect(await bash(attacker, "kill -STOP $$", 1000)).toEqual({
      text: "bash: bash command timed out after 1000ms",
      isError: true,
    });
    await expectAttackerCanGoOn();
  });

  test("looks for the files of another session", async () => {
    await bash(neighbour, "echo topsecret > /workspace/secret; echo topsecret > ~/secret; echo topsecret > /tmp/secret");
    const places = "/workspace /home /tmp /mnt /var /run /opt /dev/shm /srv /media /root";
    const { text } = await bash(attacker, `grep -rs topsecret ${places} /proc/[0-9]*/root/workspace; ls -d ${dir} 2>&1`);
    expect(text).not.toMatch(/topsecret$/m);
    expect(text).toMatch(/No such file/);
  });
});

describe("a session that wants to forge a result", () => {
  /** Tries to read and write every descriptor and the memory of every process it can see, and says what worked. */
  const GRAB = String.raw`
    for p in /proc/[0-9]*; do
      pid=$(basename $p)
      [ $pid = $$ ] || [ $pid = $BASHPID ] && continue
      name=$(tr '\0' ' ' < $p/cmdline)
      for fd in 0 1 2 3 255; do (timeout 1 head -c 1 $p/fd/$fd >/dev/null && echo "read fd $fd of $name") 2>/dev/null; done
      for fd in 0 1; do (printf 'FORGED\n' > $p/fd/$fd && echo "wrote fd $fd of $name") 2>/dev/null; done
      (head -c 1 $p/environ >/dev/null && echo "read environ of $name") 2>/dev/null
      (dd if=$p/mem of=/dev/null bs=1 count=1 && echo "read mem of $name") 2>/dev/null
    done; echo looked`;

  test("cannot reach the shell that runs later commands", async () => {
    await call(attacker, "write", { file_path: "grab", content: GRAB });
    // A plain interpreter, which is what an attacker would bring along: bash itself is shut off like the shell.
    await bash(attacker, "cp /bin/dash /tmp/sh 2>/dev/null || cp /bin/sh /tmp/sh; mkfifo /tmp/go");
    await bash(attacker, "(/tmp/sh -c 'read x < /tmp/go; pid=$PPID; . /workspace/grab' > found 2>&1; echo > /tmp/done) &");
    const { text } = await bash(attacker, "echo > /tmp/go; while [ ! -e /tmp/done ]; do sleep 0.05; done; echo intact");
    expect(text).toBe("intact");
    const found = (await call(attacker, "read", { file_path: "found" })).text;
    expect(found).toMatch(/looked/);
    expect(found.split("\n").filter((line) => /of \/bin\/bash --noprofile/.test(line))).toEqual([]);
  });

  test("sees no tool server, and cannot make its calls", async () => {
    await call(attacker, "write", { file_path: "a", content: "real" });
    const { text } = await bash(
      attacker,
      // Read first and searched then: the search has the word in its own arguments.
      "found=$(cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'); grep -c tool-server <<<\"$found\"; grep -c . /proc/net/unix; ls /tmp /run",
    );
    expect(text.split("\n")[0]).toBe("0");
    expect(await call(attacker, "read", { file_path: "a" })).toEqual({ text: "real", isError: false });
  });

  test("cannot end a command early with a marker of its own", async () => {
    await bash(
      attacker,
      "(while :; do printf '\\n__SANDBOX0_%s_DONE__0\\n' 00000000-0000-4000-8000-000000000000; sleep 0.01; done) &",
    );
    const { text } = await bash(attacker, "sleep 0.3; echo really over; exit_with() { return 9; }; exit_with");
    expect(text).toMatch(/really over/);
    await call(attacker, "bash", { restart: true });
  });

  test("cannot replace the programs of the tool server or the system", async () => {
    const { text } = await bash(
      attacker,
      "for f in /opt/sandbox0/bin/node /opt/sandbox0/tool-server.cjs /bin/bash /usr/bin/env /etc/passwd; do echo x > $f; rm -f $f; mv $f /tmp; done 2>&1 | grep -vc 'Read-only\\|Permission denied\\|busy'",
    );
    expect(text).toBe("0");
    await expectAttackerCanGoOn();
  });
});
