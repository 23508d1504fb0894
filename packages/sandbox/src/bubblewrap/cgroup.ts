import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { SandboxLimits } from "../port.ts";
import { belongsToTheDead } from "../instance.ts";

/** What the host's control groups can do for a sandbox. */
export type CgroupPower = "memory" | "processes" | "cpu" | "freeze";

/** Groups are named `sandbox0.<instance>.<n>`; the sweep goes by this. */
const GROUP_PREFIX = "sandbox0.";
const CPU_PERIOD_US = 100_000;
/** A group can be removed only when the last of its processes has been reaped. */
const REMOVE_ATTEMPTS_MAX = 500;
const REMOVE_RETRY_MS = 20;
const FREEZE_POLL_MS = 2;
const FREEZE_POLLS_MAX = 500;

/** The same names in both versions. */
const CONTROLLERS: readonly (readonly [controller: string, power: CgroupPower])[] = [
  ["memory", "memory"],
  ["pids", "processes"],
  ["cpu", "cpu"],
];

interface Hierarchy {
  version: 1 | 2;
  /** Directory in which groups are made. */
  base: string;
  powers: readonly CgroupPower[];
}

/**
 * The control groups of this host, version 2 or 1 or both at once (hybrid). Groups are made below the server's own
 * group, so a limit on the server goes on holding for its sandboxes.
 */
export interface CgroupHost {
  readonly powers: ReadonlySet<CgroupPower>;
  create(name: string, limits: SandboxLimits): Cgroup;
  /** Ends and removes what servers that are gone left behind. */
  sweep(): Promise<void>;
}

export interface Cgroup {
  /** `cgroup.procs` files: a process that writes `0` into each of them belongs to the group. */
  readonly procsFiles: readonly string[];
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  /** How many times the kernel killed here because the group's memory was used up. */
  memoryKills(): Promise<number>;
  /** Ends every process in the group and removes it. */
  remove(): Promise<void>;
}

/**
 * @param root where the control groups are mounted (`/sys/fs/cgroup`)
 * @param ownGroups the text of `/proc/self/cgroup`
 */
export function openCgroupHost(root: string, ownGroups: string): CgroupHost {
  const hierarchies = [...findV2(root, ownGroups), ...findV1(root, ownGroups)];
  const powers = new Set(hierarchies.flatMap((hierarchy) => hierarchy.powers));
  return {
    powers,
    create: (name, limits) => createGroup(hierarchies, `${GROUP_PREFIX}${name}`, limits),
    sweep: () => sweepGroups(hierarchies),
  };
}

export function readOwnGroups(): string {
  return existsSync("/proc/self/cgroup") ? readFileSync("/proc/self/cgroup", "utf8") : "";
}

/** Lines are `<id>:<controllers>:<path>`; version 2 is id 0 without controllers. */
function ownPath(ownGroups: string, isWanted: (id: string, controllers: string[]) => boolean): string | null {
  for (const line of ownGroups.split("\n")) {
    const [id, controllers, ...path] = line.split(":");
    if (id !== undefined && controllers !== undefined && isWanted(id, controllers.split(","))) return path.join(":");
  }
  return null;
}

function findV2(root: string, ownGroups: string): Hierarchy[] {
  const mount = [root, join(root, "unified")].find((dir) => existsSync(join(dir, "cgroup.controllers")));
  const own = ownPath(ownGroups, (id, controllers) => id === "0" && controllers.join() === "");
  if (mount === undefined || own === null) return [];
  // A group with processes of its own cannot give controllers to children, unless it is the root: one up it may be so.
  const bases = [join(mount, own), dirname(join(mount, own))].filter((base) => base.startsWith(mount));
  const [best] = bases
    .map((base) => ({ version: 2 as const, base, powers: probe(base, 2, () => enableControllers(base)) }))
    .sort((a, b) => b.powers.length - a.powers.length);
  return best === undefined || best.powers.length === 0 ? [] : [best];
}

function enableControllers(base: string): CgroupPower[] {
  const available = readFileSync(join(base, "cgroup.controllers"), "utf8").trim().split(/\s+/);
  const enabled = CONTROLLERS.filter(([controller]) => available.includes(controller) && enable(base, controller));
  return ["freeze", ...enabled.map(([, power]) => power)];
}

function enable(base: string, controller: string): boolean {
  try {
    writeFileSync(join(base, "cgroup.subtree_control"), `+${controller}`);
    return true;
  } catch (error) {
    if (isRefusal(error)) return false;
    throw error;
  }
}

function findV1(root: string, ownGroups: string): Hierarchy[] {
  return CONTROLLERS.flatMap(([controller, power]) => {
    const own = ownPath(ownGroups, (_id, names) => names.includes(controller));
    if (own === null || !existsSync(join(root, controller, "cgroup.procs"))) return [];
    // In a container without its own cgroup namespace the path is the host's and does not exist here.
    const inside = join(root, controller, own);
    const base = existsSync(inside) ? inside : join(root, controller);
    const powers = probe(base, 1, () => [power]);
    return powers.length > 0 ? [{ version: 1 as const, base, powers }] : [];
  });
}

/** What can be done below `base` is found out by doing it: mounts are often read-only, and permissions say too little. */
function probe(base: string, version: 1 | 2, powersOf: () => CgroupPower[]): CgroupPower[] {
  const dir = join(base, `${GROUP_PREFIX}probe-${process.pid}`);
  try {
    mkdirSync(dir);
  } catch (error) {
    if (isRefusal(error)) return [];
    throw error;
  }
  try {
    const powers = powersOf();
    return version === 2 && !existsSync(join(dir, "cgroup.freeze")) ? powers.filter((power) => power !== "freeze") : powers;
  } catch (error) {
    if (isRefusal(error)) return [];
    throw error;
  } finally {
    rmdirSync(dir);
  }
}

function isRefusal(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  return ["EACCES", "EPERM", "EROFS", "ENOENT", "EBUSY", "EINVAL", "ENOTSUP", "EOPNOTSUPP"].includes(code);
}

function createGroup(hierarchies: readonly Hierarchy[], name: string, limits: SandboxLimits): Cgroup {
  const dirs: GroupDir[] = [];
  try {
    for (const hierarchy of hierarchies) {
      const path = join(hierarchy.base, name);
      mkdirSync(path);
      dirs.push({ ...hierarchy, path });
      applyLimits(hierarchy, path, limits);
    }
  } catch (error) {
    for (const dir of dirs) rmdirSync(dir.path);
    throw error;
  }
  return {
    procsFiles: dirs.map((dir) => join(dir.path, "cgroup.procs")),
    freeze: () => setFrozen(dirs, true),
    thaw: () => setFrozen(dirs, false),
    memoryKills: () => countMemoryKills(dirs),
    remove: async () => {
      for (const dir of dirs) await removeGroup(dir);
    },
  };
}

interface GroupDir extends Hierarchy {
  path: string;
}

function applyLimits(hierarchy: Hierarchy, path: string, limits: SandboxLimits): void {
  const v2 = hierarchy.version === 2;
  const set = (file: string, value: string | number): void => writeFileSync(join(path, file), String(value));
  const setIfThere = (file: string, value: string | number): void => {
    if (existsSync(join(path, file))) set(file, value);
  };
  if (hierarchy.powers.includes("memory")) {
    set(v2 ? "memory.max" : "memory.limit_in_bytes", limits.memoryBytesMax);
    if (v2) setIfThere("memory.swap.max", 0);
    else setIfThere("memory.memsw.limit_in_bytes", limits.memoryBytesMax);
  }
  if (hierarchy.powers.includes("processes")) set("pids.max", limits.processesMax);
  if (hierarchy.powers.includes("cpu")) {
    const quotaUs = Math.max(1000, Math.round(limits.cpuCoresMax * CPU_PERIOD_US));
    if (v2) set("cpu.max", `${quotaUs} ${CPU_PERIOD_US}`);
    else {
      set("cpu.cfs_period_us", CPU_PERIOD_US);
      set("cpu.cfs_quota_us", quotaUs);
    }
  }
}

async function setFrozen(dirs: readonly GroupDir[], frozen: boolean): Promise<void> {
  const dir = dirs.find((candidate) => candidate.powers.includes("freeze"));
  if (dir === undefined) throw new Error("no control group can freeze here");
  await writeFile(join(dir.path, "cgroup.freeze"), frozen ? "1" : "0");
  const want = `frozen ${frozen ? 1 : 0}`;
  for (let poll = 0; poll < FREEZE_POLLS_MAX; poll++) {
    if ((await readFile(join(dir.path, "cgroup.events"), "utf8")).includes(want)) return;
    await delay(FREEZE_POLL_MS);
  }
  throw new Error(`the processes of ${dir.path} did not become ${frozen ? "frozen" : "running"}`);
}

async function countMemoryKills(dirs: readonly GroupDir[]): Promise<number> {
  const dir = dirs.find((candidate) => candidate.powers.includes("memory"));
  if (dir === undefined) return 0;
  const file = join(dir.path, dir.version === 2 ? "memory.events" : "memory.oom_control");
  const text = await readFile(file, "utf8").catch(unlessGone);
  return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
}

async function removeGroup(dir: GroupDir): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await rmdir(dir.path);
      return;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === "ENOENT") return;
      if (code !== "EBUSY" || attempt >= REMOVE_ATTEMPTS_MAX) throw error;
    }
    await killAll(dir);
    await delay(REMOVE_RETRY_MS);
  }
}

/** The group was removed in the meantime: of a dead server's, another one may do it. */
function unlessGone(error: NodeJS.ErrnoException): "" {
  if (error.code === "ENOENT" || error.code === "ENODEV") return "";
  throw error;
}

async function killAll(dir: GroupDir): Promise<void> {
  const killFile = join(dir.path, "cgroup.kill");
  if (dir.version === 2 && existsSync(killFile)) return void (await writeFile(killFile, "1").catch(unlessGone));
  const pids = await readFile(join(dir.path, "cgroup.procs"), "utf8").catch(unlessGone);
  for (const pid of pids.split("\n").filter((line) => line !== "")) {
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}

async function sweepGroups(hierarchies: readonly Hierarchy[]): Promise<void> {
  for (const hierarchy of hierarchies) {
    for (const name of await readdir(hierarchy.base)) {
      if (!name.startsWith(GROUP_PREFIX) || !belongsToTheDead(name.slice(GROUP_PREFIX.length))) continue;
      await removeGroup({ ...hierarchy, path: join(hierarchy.base, name) });
    }
  }
}
