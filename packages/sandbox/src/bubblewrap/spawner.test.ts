import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readAll, readLine } from "../testing/run-command.ts";
import { descendants, signalProcess } from "./process-tree.ts";
import { Spawner, type SpawnRequest } from "./spawner.ts";

const POLL = { timeout: 60_000 };

let spawner: Spawner;

beforeEach(() => {
  spawner = new Spawner();
});

afterEach(() => spawner.stop());

function request(script: string, options: Partial<SpawnRequest> = {}): SpawnRequest {
  return { file: "/bin/bash", args: ["--norc", "-c", script], env: { PATH: "/usr/bin:/bin" }, cwd: "/", files: [], ...options };
}

/** The spawner's own process: its parent is this one. That of the test before may still be ending. */
function spawnerPids(): number[] {
  return descendants(process.pid)
    .map(({ pid }) => pid)
    .filter((pid) => commandLine(pid).includes("spawner-main"));
}

/** Empty for a process that ends meanwhile. */
function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return "";
    throw error;
  }
}

describe("the spawner", () => {
  test("connects the three streams, passes files and tells the exit", async () => {
    const child = await spawner.spawn(request('read line; echo "got $line"; cat <&3 >&2; exit 5', { files: ["/etc/hostname"] }));
    child.stdin.end("in\n");
    const [stdout, stderr] = await Promise.all([readAll(child.stdout), readAll(child.stderr)]);
    expect([stdout, stderr]).toEqual(["got in\n", readFileSync("/etc/hostname", "utf8")]);
    expect(await child.exited).toEqual({ code: 5, signal: null });
  });

  test("gives blocking streams: a slow reader loses nothing", async () => {
    const child = await spawner.spawn(request("head -c 20000000 /dev/zero; echo status $? >&2"));
    const status = readLine(child.stderr);
    let bytes = 0;
    for await (const chunk of child.stdout) {
      bytes += (chunk as Buffer).length;
      await new Promise(setImmediate);
    }
    expect([bytes, await status]).toEqual([20_000_000, "status 0\n"]);
  });

  test("tells of processes that are over before anybody has looked", async () => {
    const children = await Promise.all(Array.from({ length: 30 }, (_, i) => spawner.spawn(request(`echo ${i}; exit ${i}`))));
    const results = await Promise.all(children.map(async ({ stdout, exited }) => [await readAll(stdout), (await exited).code]));
    expect(results).toEqual(results.map((_, i) => [`${i}\n`, i]));
  });

  test("says when a process cannot be started", async () => {
    await expect(spawner.spawn(request("", { file: "/nowhere/program" }))).rejects.toMatchObject({ code: "unavailable" });
    await expect(spawner.spawn(request("", { files: ["/nowhere/file"] }))).rejects.toMatchObject({ code: "unavailable" });
    expect(await readAll((await spawner.spawn(request("echo fine"))).stdout)).toBe("fine\n");
  });

  test("comes back after its process was killed; what ran in it has ended", async () => {
    const child = await spawner.spawn(request("echo ready; read line"));
    await readLine(child.stdout);
    for (const pid of spawnerPids()) signalProcess(pid, "SIGKILL");
    expect((await child.exited).signal).toBe("SIGKILL");
    expect(await readAll((await spawner.spawn(request("echo fine"))).stdout)).toBe("fine\n");
  });

  test("ends when it is stopped", async () => {
    await spawner.spawn(request("true"));
    await expect.poll(spawnerPids, POLL).toHaveLength(1);
    spawner.stop();
    await expect.poll(spawnerPids, POLL).toEqual([]);
  });

  test("takes no streams from strangers", async () => {
    await spawner.spawn(request("true"));
    const names = [...readFileSync("/proc/net/unix", "utf8").matchAll(/@(sandbox0-[0-9a-f-]{36})/g)].map(
      ([, name]) => name ?? "",
    );
    expect(names.length).toBeGreaterThan(0);
    for (const name of new Set(names)) {
      for (const greeting of ['{"secret":"guess","id":2,"stream":1}\nforged', "x".repeat(1000)]) {
        const stranger = connect({ path: `\0${name}` });
        // A name of another process may be gone by now.
        stranger.on("error", () => undefined);
        stranger.write(greeting);
        await new Promise((resolve) => stranger.once("close", resolve));
      }
    }
    expect(await readAll((await spawner.spawn(request("echo real"))).stdout)).toBe("real\n");
  });
});
