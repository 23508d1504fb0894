import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openCgroupHost, readOwnGroups } from "./cgroup.ts";

const MIB = 1024 * 1024;
const LIMITS = { memoryBytesMax: 64 * MIB, processesMax: 9, diskBytesMax: MIB, openFilesMax: 10, cpuCoresMax: 0.5 };

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "sandbox0-cgroup-"));
});

afterEach(() => rm(root, { recursive: true, force: true }));

/** A directory tree in the place of the kernel's, with the files that a group has. */
function makeGroup(path: string, files: Readonly<Record<string, string>>): void {
  mkdirSync(join(root, path), { recursive: true });
  for (const [name, content] of Object.entries(files)) writeFileSync(join(root, path, name), content);
}

const read = (path: string): string => readFileSync(join(root, path), "utf8");

describe("on a host", () => {
  test("with version 2, groups are made below the server's own and get every limit", () => {
    makeGroup("", { "cgroup.controllers": "cpuset cpu io memory pids" });
    makeGroup("system.slice/server.service", { "cgroup.controllers": "cpu memory pids", "cgroup.subtree_control": "" });
    const host = openCgroupHost(root, "0::/system.slice/server.service\n");
    expect([...host.powers].sort()).toEqual(["cpu", "memory", "processes"]);
    const group = host.create("1.2.abc", LIMITS);
    const path = "system.slice/server.service/sandbox0.1.2.abc";
    expect(group.procsFiles).toEqual([join(root, path, "cgroup.procs")]);
    expect(read(`${path}/memory.max`)).toBe(String(64 * MIB));
    expect(read(`${path}/pids.max`)).toBe("9");
    expect(read(`${path}/cpu.max`)).toBe("50000 100000");
  });

  test("with version 1, each controller has its own group", () => {
    for (const controller of ["memory", "pids", "cpu"]) makeGroup(`${controller}/own`, {});
    for (const controller of ["memory", "pids", "cpu"]) makeGroup(controller, { "cgroup.procs": "" });
    const host = openCgroupHost(root, "3:memory:/own\n2:pids:/own\n1:cpu,cpuacct:/own\n");
    expect([...host.powers].sort()).toEqual(["cpu", "memory", "processes"]);
    const group = host.create("1.2.abc", LIMITS);
    expect(group.procsFiles).toHaveLength(3);
    expect(read("memory/own/sandbox0.1.2.abc/memory.limit_in_bytes")).toBe(String(64 * MIB));
    expect(read("pids/own/sandbox0.1.2.abc/pids.max")).toBe("9");
    expect(read("cpu/own/sandbox0.1.2.abc/cpu.cfs_quota_us")).toBe("50000");
  });

  test("with version 1 seen from a container, the path of the host is not there and the mount itself is used", () => {
    makeGroup("memory", { "cgroup.procs": "" });
    const group = openCgroupHost(root, "3:memory:/docker/0123\n").create("1.2.abc", LIMITS);
    expect(group.procsFiles).toEqual([join(root, "memory/sandbox0.1.2.abc/cgroup.procs")]);
  });

  test("with version 2 and nothing to give on below itself, groups are made beside the server's", () => {
    makeGroup("", { "cgroup.controllers": "" });
    makeGroup("user.slice", { "cgroup.controllers": "cpu memory pids" });
    makeGroup("user.slice/own.scope", { "cgroup.controllers": "" });
    const host = openCgroupHost(root, "0::/user.slice/own.scope\n");
    expect(host.create("1.2.abc", LIMITS).procsFiles).toEqual([join(root, "user.slice/sandbox0.1.2.abc/cgroup.procs")]);
  });

  test("without any, nothing is promised", () => {
    const host = openCgroupHost(root, "");
    expect([...host.powers]).toEqual([]);
    expect(host.create("1.2.abc", LIMITS).procsFiles).toEqual([]);
  });
});

const real = openCgroupHost("/sys/fs/cgroup", readOwnGroups());

describe.skipIf(real.powers.size === 0)("on this host", () => {
  test("a group comes and goes, and leaves nothing", async () => {
    const group = real.create(`${process.pid}.x.test`, LIMITS);
    const dirs = group.procsFiles.map((file) => join(file, ".."));
    expect(dirs.every((dir) => existsSync(dir))).toBe(true);
    expect(await group.memoryKills()).toBe(0);
    await group.remove();
    await group.remove();
    expect(dirs.some((dir) => existsSync(dir))).toBe(false);
  });

  test("the sweep removes the groups of servers that are gone, and no others", async () => {
    const [dead, living] = [real.create("999999999.1.test", LIMITS), real.create(`${process.pid}.x.test`, LIMITS)];
    await real.sweep();
    expect(dead.procsFiles.some((file) => existsSync(file))).toBe(false);
    expect(living.procsFiles.every((file) => existsSync(file))).toBe(true);
    await living.remove();
  });
});
