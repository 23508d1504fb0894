import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createSandboxPool } from "../pool.ts";
import { readLine } from "../testing/run-command.ts";
import { createBubblewrapDriver } from "./driver.ts";

const SCRIPT = fileURLToPath(new URL("../testing/pool-process.ts", import.meta.url));
const POLL = { timeout: 60_000 };

let parent: string;
let dir: string;
let server: ChildProcess | null = null;

beforeEach(async () => {
  // Closed to everybody else, as /root is.
  parent = await mkdtemp(join(tmpdir(), "sandbox0-lifetime-"));
  dir = join(parent, "data");
  await mkdir(dir);
});

afterEach(async () => {
  server?.kill("SIGKILL");
  await rm(parent, { recursive: true, force: true });
});

/** Every process of the sandboxes: by their owners, for root; by the directory in bwrap's command line, for a user. */
function sandboxProcesses(): string[] {
  const owners = process.getuid?.() === 0 ? readdirSync(join(dir, "owners")) : [];
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid) || pid === String(process.pid)) return false;
    try {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      const uid = /^Uid:\t(\d+)/m.exec(status)?.[1] ?? "";
      // Ended, and not yet reaped by the host's first process.
      if (/^State:\t[ZX]/m.test(status)) return false;
      return owners.includes(uid) || readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(`${dir}/volumes`);
    } catch {
      return false;
    }
  });
}

const groupsOf = (pid: number | undefined): string[] =>
  ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids"]
    .filter((path) => existsSync(path))
    .flatMap((path) => readdirSync(path, { recursive: false }).map(String))
    .filter((name) => name.startsWith(`sandbox0.${pid}.`));

async function startServer(umask: string): Promise<{ killed: ChildProcess; volumeId: string }> {
  server = spawn("/bin/bash", ["-c", `umask ${umask}; exec "$0" "$@"`, process.execPath, SCRIPT, dir], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  });
  const { volumeId } = JSON.parse(await readLine(server.stdout as NodeJS.ReadableStream)) as { volumeId: string };
  return { killed: server, volumeId };
}

describe("when the server is killed", () => {
  test("its sandboxes die with it, and the next one sweeps up and goes on with the files", async () => {
    // A strict umask and a directory nobody else may walk to change nothing.
    const { killed, volumeId } = await startServer("077");
    expect(sandboxProcesses().length).toBeGreaterThanOrEqual(3);
    killed.kill("SIGKILL");
    await once(killed, "exit");
    await expect.poll(() => sandboxProcesses(), POLL).toEqual([]);
    expect((await readdir(join(dir, "volumes"))).length).toBe(3);

    const pool = await createSandboxPool(createBubblewrapDriver({ dir }), { dir, warmCount: 0 });
    const { tools, source } = await pool.claim("session_1", volumeId);
    expect(source).toBe("cold");
    const { content } = await tools.call("bash", { command: "cat file written; ps -e | grep -c sleep" });
    expect(content).toEqual([{ type: "text", text: "work\nby the tool server0" }]);
    // The one made ahead is gone; those of the two sessions are not.
    expect(await readdir(join(dir, "volumes"))).toHaveLength(2);
    expect((await readdir(join(dir, "sandboxes"))).length).toBe(1);
    expect(groupsOf(killed.pid)).toEqual([]);

    await pool.close();
    expect(sandboxProcesses()).toEqual([]);
    expect(await readdir(join(dir, "sandboxes"))).toEqual([]);
    expect(groupsOf(process.pid)).toEqual([]);
  });
});

describe("when its standard input and outputs are closed under it", () => {
  test("a shell ends by itself", async () => {
    const driver = createBubblewrapDriver({ dir });
    const pool = await createSandboxPool(driver, { dir, warmCount: 0 });
    const { sandbox } = await pool.claim("session_1", null);
    const child = await sandbox.exec(["/bin/bash", "--noprofile", "--norc"]);
    child.stdin.end();
    expect((await child.exited).code).toBe(0);
    await pool.close();
  });
});
