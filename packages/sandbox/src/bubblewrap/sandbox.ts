import type { ChildProcess } from "node:child_process";
import { constants as osConstants } from "node:os";
import type { Readable, Writable } from "node:stream";
import { BASE_ENV, WORKSPACE_DIR } from "../layout.ts";
import { listSandboxFiles, readSandboxFile, writeSandboxFile } from "../exec-files.ts";
import { SandboxError, type ExecExit, type ExecOptions, type Sandbox, type SandboxProcess, type SandboxSpec } from "../port.ts";
import { removeTree } from "../remove-tree.ts";
import type { Cgroup, CgroupPower } from "./cgroup.ts";
import type { DiskWatch, WatchedDisk } from "./disk-watch.ts";
import type { SandboxUser } from "./host.ts";
import { launch, type LaunchHost } from "./launch.ts";
import { descendants, signalProcess, waitUntilEnded } from "./process-tree.ts";

export interface SandboxParts {
  id: string;
  spec: SandboxSpec;
  host: LaunchHost;
  user: SandboxUser | null;
  cgroup: Cgroup;
  powers: ReadonlySet<CgroupPower>;
  diskWatch: DiskWatch;
  /** Holds `tmp/`; removed with the sandbox. */
  runDir: string;
  tempDir: string;
}

/** A shell ends with 128 + n when signal n ended the command. */
const SIGNAL_STATUS_BASE = 128;
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
  readonly #disk: WatchedDisk;
  #paused = false;
  #destroyed: Promise<void> | null = null;
  readonly #gone = Promise.withResolvers<void>();

  constructor(parts: SandboxParts) {
    this.id = parts.id;
    this.#parts = parts;
    this.#disk = parts.diskWatch.watch({
      dirs: [parts.spec.volume.path, parts.tempDir],
      bytesMax: parts.spec.limits.diskBytesMax,
      pids: () => [...this.#running].map((child) => child.pid),
      stop: () => {
        for (const child of this.#running) child.stop("disk");
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
    const { spec, host, user, cgroup, powers, tempDir } = this.#parts;
    const memoryKillsBefore = await cgroup.memoryKills();
    const child = launch(host, {
      command,
      cwd: options.cwd ?? WORKSPACE_DIR,
      env: { ...BASE_ENV, ...spec.env, ...options.env },
      volumePath: spec.volume.path,
      tempDir,
      egressSocketPath: spec.egressSocketPath,
      limits: spec.limits,
      user,
      procsFiles: cgroup.procsFiles,
      needsInnerLimits: !powers.has("processes") || !powers.has("memory"),
    });
    const running = new BubblewrapProcess(child, async () => (await cgroup.memoryKills()) > memoryKillsBefore);
    this.#running.add(running);
    void running.exited.then(() => this.#running.delete(running));
    options.signal?.addEventListener("abort", () => running.kill("SIGKILL"), { once: true });
    if (options.signal?.aborted === true) running.kill("SIGKILL");
    return running;
  };

  readFile(path: string): Promise<Uint8Array> {
    return readSandboxFile(this.exec, path);
  }

  writeFile(path: string, data: Uint8Array): Promise<void> {
    return writeSandboxFile(this.exec, path, data);
  }

  list(path: string): ReturnType<Sandbox["list"]> {
    return listSandboxFiles(this.exec, path);
  }

  async pause(): Promise<void> {
    if (this.#destroyed !== null) throw new SandboxError("destroyed", `sandbox ${this.id} is destroyed`);
    this.#paused = true;
    if (this.#parts.powers.has("freeze")) await this.#parts.cgroup.freeze();
    else for (const child of this.#running) child.signalTree("SIGSTOP");
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
    const running = [...this.#running];
    const stopped = running.flatMap((child) => child.stop());
    await Promise.all(running.map((child) => child.exited));
    await waitUntilEnded(stopped);
    await this.#parts.cgroup.remove();
    await removeTree(this.#parts.runDir);
    this.#gone.resolve();
  }
}

class BubblewrapProcess implements SandboxProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly exited: Promise<ExecExit>;
  readonly pid: number;
  #signalSent: NodeJS.Signals | null = null;
  #killedBy: "disk" | null = null;
  #isOver = false;

  constructor(child: ChildProcess, ranOutOfMemory: () => Promise<boolean>) {
    const { stdin, stdout, stderr, pid } = child;
    // Not started: told below. Input to a command that has ended: its exit says so.
    child.once("error", ignore);
    stdin?.on("error", ignore);
    if (stdin === null || stdout === null || stderr === null || pid === undefined) {
      throw new SandboxError("unavailable", "the command could not be started: out of processes, memory or descriptors");
    }
    this.stdin = stdin;
    this.stdout = stdout;
    this.stderr = stderr;
    this.pid = pid;
    this.exited = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        this.#isOver = true;
        resolve(this.#describeExit(code, signal, ranOutOfMemory));
      });
    });
  }

  kill(signal: NodeJS.Signals = "SIGTERM"): void {
    if (this.#isOver) return;
    this.#signalSent = signal;
    if (signal === "SIGKILL") this.stop();
    else this.signalTree(signal);
  }

  /**
   * Ends everything at once: with bwrap dies the reaper, and with the reaper the whole pid namespace.
   * @returns the processes there were; they end a moment later
   */
  stop(killedBy?: "disk"): number[] {
    if (this.#isOver) return [];
    this.#killedBy ??= killedBy ?? null;
    const below = descendants(this.pid).map(({ pid }) => pid);
    signalProcess(this.pid, "SIGKILL");
    // Those that bwrap had not yet bound to its own life.
    for (const pid of below) signalProcess(pid, "SIGKILL");
    return below;
  }

  /** Signals the command's processes, not bwrap and its reaper. */
  signalTree(signal: NodeJS.Signals): void {
    const commands = descendants(this.pid).filter(({ innerPid }) => innerPid !== 1);
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

const ignore = (): void => undefined;
