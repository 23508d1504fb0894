import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Readable, Writable } from "node:stream";
import { listSandboxFiles, readSandboxFile, writeSandboxFile } from "../exec-files.ts";
import { instanceTag } from "../instance.ts";
import { BASE_ENV, RUNTIME_DIR, TEMP_DIR, VOLUME_MOUNTS, WORKSPACE_DIR } from "../layout.ts";
import {
  SandboxError,
  type ExecExit,
  type ExecOptions,
  type Sandbox,
  type SandboxDriver,
  type SandboxProcess,
  type SandboxSpec,
} from "../port.ts";
import { removeTree } from "../remove-tree.ts";
import { checkProgramMounts, type SandboxProgram } from "../programs.ts";
import { prepareRuntime, type Runtime } from "../runtime.ts";

/**
 * NO ISOLATION AT ALL: commands are plain processes of the server's user, on the host's files and network, without
 * limits. For tests on machines where nothing else runs; a server must refuse it unless its operator asks for it by
 * name, and say so at every start.
 */
export function createProcessDriver(options: { dir: string; programs?: readonly SandboxProgram[] }): SandboxDriver {
  const dir = resolve(options.dir);
  const programs = options.programs ?? [];
  checkProgramMounts(programs);
  let runtime: Promise<Runtime> | null = null;
  return {
    name: "process",
    capabilities: async () => ({ isolation: "none", pause: true, enforces: [] }),
    check: async () => [{ name: "process", ok: true, detail: "runs commands without any isolation" }],
    create: async (spec) => {
      if ((spec.equipment?.layers ?? []).length > 0) throw new SandboxError("unavailable", "this driver has no layers");
      runtime ??= prepareRuntime(join(dir, "runtime"));
      const id = `${instanceTag()}.${randomBytes(6).toString("hex")}`;
      const runDir = join(dir, "sandboxes", id);
      await mkdir(join(runDir, "tmp"), { recursive: true });
      const shown = [
        { at: RUNTIME_DIR, path: (await runtime).dir },
        ...programs.map(({ directory, mountedAt }) => ({ at: mountedAt, path: directory })),
      ];
      return new ProcessSandbox(id, spec, runDir, shown);
    },
  };
}

class ProcessSandbox implements Sandbox {
  readonly id: string;
  readonly #spec: SandboxSpec;
  readonly #runDir: string;
  readonly #places: readonly { at: string; path: string }[];
  readonly #running = new Set<PlainProcess>();
  #isPaused = false;
  #destroyed: Promise<void> | null = null;
  readonly #gone = Promise.withResolvers<void>();

  constructor(id: string, spec: SandboxSpec, runDir: string, shown: readonly { at: string; path: string }[]) {
    this.id = id;
    this.#spec = spec;
    this.#runDir = runDir;
    this.#places = [
      ...(spec.equipment?.mounts ?? []).map(({ source, at }) => ({ at, path: source })),
      ...VOLUME_MOUNTS.map(({ name, at }) => ({ at, path: join(spec.volume.path, name) })),
      ...shown,
      { at: TEMP_DIR, path: join(runDir, "tmp") },
    ];
  }

  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  readonly exec = async (command: readonly string[], options: ExecOptions = {}): Promise<SandboxProcess> => {
    if (this.#destroyed !== null) throw new SandboxError("destroyed", `sandbox ${this.id} is destroyed`);
    if (this.#isPaused) throw new SandboxError("unavailable", `sandbox ${this.id} is paused`);
    const [file = "", ...args] = command.map((arg) => this.#onHost(arg));
    const env = Object.entries({ ...BASE_ENV, ...this.#spec.env, ...options.env });
    const child = spawn(file, args, {
      cwd: this.#onHost(options.cwd ?? WORKSPACE_DIR),
      env: Object.fromEntries(env.map(([name, value]) => [name, this.#onHost(value)])),
      detached: true,
    });
    const running = new PlainProcess(child);
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

  /** Programs that have left their command's process group are not seen. */
  async isQuiet(): Promise<boolean> {
    const groups = new Set([...this.#running].flatMap(({ pid }) => (pid === undefined ? [] : [pid])));
    return [...processGroups()].every(([pid, group]) => !groups.has(group) || pid === group);
  }

  async pause(): Promise<void> {
    this.#signalAll("SIGSTOP");
    this.#isPaused = true;
  }

  async resume(): Promise<void> {
    this.#signalAll("SIGCONT");
    this.#isPaused = false;
  }

  destroy(): Promise<void> {
    this.#destroyed ??= this.#destroy();
    return this.#destroyed;
  }

  async #destroy(): Promise<void> {
    for (const child of this.#running) child.kill("SIGKILL");
    await Promise.all([...this.#running].map((child) => child.exited));
    await removeTree(this.#runDir);
    this.#gone.resolve();
  }

  #signalAll(signal: NodeJS.Signals): void {
    if (this.#destroyed !== null) throw new SandboxError("destroyed", `sandbox ${this.id} is destroyed`);
    for (const child of this.#running) child.signalGroup(signal);
  }

  /** A sandbox path that stands alone as an argument or value becomes the host path that is in its place. */
  #onHost(text: string): string {
    const place = this.#places.find(({ at }) => text === at || text.startsWith(`${at}/`));
    return place === undefined ? text : `${place.path}${text.slice(place.at.length)}`;
  }
}

class PlainProcess implements SandboxProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly exited: Promise<ExecExit>;
  readonly pid: number | undefined;
  #isOver = false;

  constructor(child: ChildProcess) {
    const { stdin, stdout, stderr, pid } = child;
    if (stdin === null || stdout === null || stderr === null)
      throw new SandboxError("unavailable", "the command could not be started");
    this.stdin = stdin;
    this.stdout = stdout;
    this.stderr = stderr;
    this.pid = pid;
    // Input to a command that has ended: its exit says so.
    stdin.on("error", dropInput);
    this.exited = new Promise((resolve) => {
      child.once("exit", (code, signal) => resolve({ code, signal }));
      // As a shell would end: there is no such command.
      child.once("error", () => resolve({ code: 127, signal: null }));
    });
    void this.exited.then(() => {
      this.#isOver = true;
    });
  }

  kill(signal: NodeJS.Signals = "SIGTERM"): void {
    this.signalGroup(signal);
  }

  signalGroup(signal: NodeJS.Signals): void {
    if (this.pid === undefined || this.#isOver) return;
    try {
      process.kill(-this.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}

/** By process: the one that leads its group. */
function* processGroups(): Generator<[pid: number, group: number], void, undefined> {
  for (const name of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      // Behind the name, which may hold anything: state, parent, group.
      const [state, , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (state !== "Z") yield [Number(name), Number(group)];
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT" && code !== "ESRCH") throw error;
    }
  }
}

const dropInput = (): void => undefined;
