import { constants as osConstants } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { egressEnv } from "../egress-env.ts";
import { BASE_ENV, WORKSPACE_DIR } from "../layout.ts";
import { listSandboxFiles, readSandboxFile, writeSandboxFile } from "../exec-files.ts";
import { SandboxError, type ExecExit, type ExecOptions, type Sandbox, type SandboxProcess, type SandboxSpec } from "../port.ts";
import { removeTree } from "../remove-tree.ts";
import type { Cgroup, CgroupPower } from "./cgroup.ts";
import type { DiskWatch, WatchedDisk } from "./disk-watch.ts";
import type { EgressSocket } from "./egress-socket.ts";
import type { SandboxUser } from "./host.ts";
import { FORWARDER_PID, launchRequest, type LaunchHost } from "./launch.ts";
import type { Spawned, Spawner } from "./spawner.ts";
import type { SystemPlan } from "./system-view.ts";
import { descendants, isStopped, signalProcess, type TreeProcess, waitUntilEnded } from "./process-tree.ts";

export interface SandboxParts {
  id: string;
  spec: SandboxSpec;
  system: SystemPlan;
  host: LaunchHost;
  user: SandboxUser | null;
  cgroup: Cgroup;
  powers: ReadonlySet<CgroupPower>;
  diskWatch: DiskWatch;
  spawner: Spawner;
  /** `null`: no way out. */
  egress: EgressSocket | null;
  /** Holds `tmp/` and the socket; removed with the sandbox. */
  runDir: string;
  tempDir: string;
}

/** A shell ends with 128 + n when signal n ended the command. */
const SIGNAL_STATUS_BASE = 128;
/** How long bwrap may take to end after its reaper was killed. */
const STOP_FALLBACK_MS = 2000;
/** Between looks whether a process stands still: at first, and at last. Some two seconds in all. */
const STAND_STILL_LOOK_MS = 2;
const STAND_STILL_LOOK_MS_MAX = 1_024;
/** In its pid namespace: the first after bwrap's reaper. */
const COMMAND_PID = 2;
const SIGKILL_STATUS = SIGNAL_STATUS_BASE + osConstants.signals.SIGKILL;

/**
 * One sandbox. Each `exec` has namespaces of its own: commands of two calls share the volume, `/tmp`, the limits and
 * the freezer, and cannot see or signal each other. There is no process that belongs to the sandbox as such, so an idle
 * one costs nothing.
 */
export function createBubblewrapSandbox(parts: SandboxParts): Sandbox {
  return new BubblewrapSandbox(parts);
}

class BubblewrapSandbox implements Sandbox {
  readonly id: string;
  readonly #parts: SandboxParts;
  readonly #running = new Set<BubblewrapProcess>();
  readonly #starting = new Set<Promise<SandboxProcess>>();
  readonly #disk: WatchedDisk;
  #paused = false;
  #destroyed: Promise<void> | null = null;
  readonly #gone = Promise.withResolvers<void>();

  constructor(parts: SandboxParts) {
    this.id = parts.id;
    this.#parts = parts;
    const { draft } = parts.system;
    this.#disk = parts.diskWatch.watch({
      volumePath: parts.spec.volume.path,
      otherDirs: [parts.tempDir, ...writableMounts(parts.spec), ...(draft === null ? [] : [join(parts.host.layersDir, draft)])],
      bytesMax: parts.spec.limits.diskBytesMax,
      pids: () => [...this.#running].map((child) => child.pid),
      stop: async () => {
        const running = [...this.#running];
        for (const child of running) child.stop("disk");
        await Promise.all(running.map((child) => child.exited));
      },
    });
  }

  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  readonly exec = async (command: readonly string[], options: ExecOptions = {}): Promise<SandboxProcess> => {
    if (this.#destroyed !== null) throw new SandboxError("destroyed", `sandbox ${this.id} is destroyed`);
    if (this.#paused) throw new SandboxError("unavailable", `sandbox ${this.id} is paused`);
    if (command.length === 0) throw new SandboxError("io", "the command is empty");
    const starting = this.#start(command, options);
    this.#starting.add(starting);
    try {
      return await starting;
    } finally {
      this.#starting.delete(starting);
    }
  };

  async #start(command: readonly string[], options: ExecOptions): Promise<SandboxProcess> {
    const { spec, system, host, user, cgroup, powers, tempDir, spawner } = this.#parts;
    const egress = options.network === false ? null : this.#parts.egress;
    const memoryKillsBefore = await cgroup.memoryKills();
    const request = launchRequest(host, {
      command,
      cwd: options.cwd ?? WORKSPACE_DIR,
      env: {
        ...BASE_ENV,
        ...system.base?.env,
        ...(egress === null ? {} : egressEnv(host.caBundle !== null)),
        ...spec.env,
        ...options.env,
      },
      volumePath: spec.volume.path,
      system,
      mounts: spec.equipment?.mounts ?? [],
      tempDir,
      egressSocketPath: egress?.path ?? null,
      limits: spec.limits,
      user,
      procsFiles: cgroup.procsFiles,
      needsInnerLimits: !powers.has("processes") || !powers.has("memory"),
    });
    const spawned = await spawner.spawn(request);
    const ranOutOfMemory = async (): Promise<boolean> => (await cgroup.memoryKills()) > memoryKillsBefore;
    const running = new BubblewrapProcess(spawned, egress !== null, ranOutOfMemory);
    this.#running.add(running);
    void running.exited.then(() => this.#running.delete(running));
    if (this.#paused && !powers.has("freeze")) await running.stopTree(() => this.#paused);
    options.signal?.addEventListener("abort", () => running.kill("SIGKILL"), { once: true });
    if (options.signal?.aborted === true) running.kill("SIGKILL");
    return running;
  }

  readFile(path: string): Promise<Uint8Array> {
    return readSandboxFile(this.exec, path);
  }

  writeFile(path: string, data: Uint8Array): Promise<void> {
    return writeSandboxFile(this.exec, path, data);
  }

  list(path: string): ReturnType<Sandbox["list"]> {
    return listSandboxFiles(this.exec, path);
  }

  async isQuiet(): Promise<boolean> {
    return this.#starting.size === 0 && [...this.#running].every((child) => child.isAlone());
  }

  async pause(): Promise<void> {
    if (this.#destroyed !== null) throw new SandboxError("destroyed", `sandbox ${this.id} is destroyed`);
    this.#paused = true;
    if (this.#parts.powers.has("freeze")) await this.#parts.cgroup.freeze();
    else await Promise.all([...this.#running].map((child) => child.stopTree(() => this.#paused)));
  }

  async resume(): Promise<void> {
    if (this.#destroyed !== null) throw new SandboxError("destroyed", `sandbox ${this.id} is destroyed`);
    if (this.#parts.powers.has("freeze")) await this.#parts.cgroup.thaw();
    else for (const child of this.#running) child.signalTree("SIGCONT");
    this.#paused = false;
  }

  destroy(): Promise<void> {
    this.#destroyed ??= this.#destroy();
    return this.#destroyed;
  }

  async #destroy(): Promise<void> {
    this.#disk.stop();
    try {
      await this.#endEverything();
    } finally {
      this.#gone.resolve();
    }
  }

  async #endEverything(): Promise<void> {
    await Promise.allSettled([...this.#starting]);
    await this.#parts.egress?.close();
    const running = [...this.#running];
    const stopped = running.flatMap((child) => child.stop());
    // bwrap is frozen too, and has something to do yet.
    if (this.#paused && this.#parts.powers.has("freeze")) await this.#parts.cgroup.thaw();
    await Promise.all(running.map((child) => child.exited));
    await waitUntilEnded(stopped);
    await this.#parts.cgroup.remove();
    await removeTree(this.#parts.runDir);
  }
}

function writableMounts({ equipment }: SandboxSpec): string[] {
  return (equipment?.mounts ?? []).flatMap(({ source, writable }) => (writable ? [source] : []));
}

class BubblewrapProcess implements SandboxProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly exited: Promise<ExecExit>;
  readonly pid: number;
  readonly #hasForwarder: boolean;
  #signalSent: NodeJS.Signals | null = null;
  #killedBy: "disk" | null = null;
  #isOver = false;

  constructor(spawned: Spawned, hasForwarder: boolean, ranOutOfMemory: () => Promise<boolean>) {
    this.#hasForwarder = hasForwarder;
    this.stdin = spawned.stdin;
    this.stdout = spawned.stdout;
    this.stderr = spawned.stderr;
    this.pid = spawned.pid;
    this.exited = spawned.exited.then(({ code, signal }) => {
      this.#isOver = true;
      return this.#describeExit(code, signal, ranOutOfMemory);
    });
  }

  kill(signal: NodeJS.Signals = "SIGTERM"): void {
    if (this.#isOver) return;
    this.#signalSent = signal;
    if (signal === "SIGKILL") this.stop();
    else this.signalTree(signal);
  }

  /**
   * Ends everything at once: with the reaper dies the whole pid namespace, and bwrap, its parent, reaps it and ends.
   * Killing bwrap first would do as well, and leave a zombie to the host's first process, which may be a server in a
   * container that reaps nobody.
   * @returns the processes there were; they end a moment later
   */
  stop(killedBy?: "disk"): number[] {
    if (this.#isOver) return [];
    this.#killedBy ??= killedBy ?? null;
    const below = descendants(this.pid);
    const reaper = below.find(({ innerPid }) => innerPid === 1);
    signalProcess(reaper?.pid ?? this.pid, "SIGKILL");
    const fallback = setTimeout(() => this.#killEach([this.pid, ...below.map(({ pid }) => pid)]), STOP_FALLBACK_MS);
    fallback.unref();
    void this.exited.then(() => clearTimeout(fallback));
    return below.map(({ pid }) => pid);
  }

  /** For what bwrap had not yet bound to its own life. */
  #killEach(pids: readonly number[]): void {
    if (!this.#isOver) for (const pid of pids) signalProcess(pid, "SIGKILL");
  }

  /** Only the command itself runs, and what bwrap and the way out need. */
  isAlone(): boolean {
    if (this.#isOver) return true;
    const below = descendants(this.pid);
    const forwarder = this.#hasForwarder ? below.find(({ innerPid }) => innerPid === FORWARDER_PID) : undefined;
    const ways = forwarder === undefined ? [] : [forwarder, ...descendants(forwarder.pid)].map(({ pid }) => pid);
    // What has started the forwarder may still be on its way out when the command has long begun.
    const ownMax = this.#hasForwarder ? FORWARDER_PID - 1 : COMMAND_PID;
    return below.every(({ pid, innerPid }) => innerPid <= ownMax || ways.includes(pid));
  }

  /** The command's processes, not bwrap and its reaper, nor what keeps their way out open. */
  #commands(): TreeProcess[] {
    const spared = this.#hasForwarder ? [1, FORWARDER_PID] : [1];
    return descendants(this.pid).filter(({ innerPid }) => !spared.includes(innerPid));
  }

  /**
   * Looks again until all that there are were seen to stand still before: a fork that is under way when the signal comes is
   * carried out, and the child has no signal. What does not stand still by then has the signal all the same.
   * @param isWanted false: whoever wanted it has changed their mind
   */
  async stopTree(isWanted: () => boolean): Promise<void> {
    const signalled = new Set<number>();
    let still = new Set<number>();
    for (let waitMs = STAND_STILL_LOOK_MS; waitMs <= STAND_STILL_LOOK_MS_MAX && isWanted(); waitMs *= 2) {
      const found = this.#commands().map(({ pid }) => pid);
      if (found.every((pid) => still.has(pid) && isStopped(pid))) return;
      still = new Set(found.filter((pid) => signalled.has(pid) && isStopped(pid)));
      for (const pid of found) {
        if (!still.has(pid)) signalProcess(pid, "SIGSTOP");
        signalled.add(pid);
      }
      await delay(waitMs);
    }
  }

  /** Signals those that there are now. */
  signalTree(signal: NodeJS.Signals): void {
    const commands = this.#commands();
    const startsUp = commands.length === 0 && ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"].includes(signal);
    if (startsUp) this.stop();
    for (const { pid } of commands) signalProcess(pid, signal);
  }

  async #describeExit(
    code: number | null,
    signal: NodeJS.Signals | null,
    ranOutOfMemory: () => Promise<boolean>,
  ): Promise<ExecExit> {
    const sent = this.#signalSent;
    const diedOfSent = sent !== null && (signal !== null || code === SIGNAL_STATUS_BASE + osConstants.signals[sent]);
    const exit: ExecExit = diedOfSent ? { code: null, signal: sent } : { code, signal };
    if (this.#killedBy !== null) return { ...exit, killedBy: this.#killedBy };
    const wasKilled = sent === null && (code === SIGKILL_STATUS || signal === "SIGKILL");
    return wasKilled && (await ranOutOfMemory()) ? { ...exit, killedBy: "memory" } : exit;
  }
}
