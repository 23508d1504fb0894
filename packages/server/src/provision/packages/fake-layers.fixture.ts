import { spawn } from "node:child_process";
import type { ExecExit, Layers, Sandbox, SandboxProcess } from "@sandbox0/sandbox";

/** Layers that are only names, made by drafts that run their script as a plain process, without any isolation. */
export interface FakeLayers extends Layers {
  /** By name: when it was last used. */
  readonly kept: Map<string, Date>;
  /** Drafts that were begun, in order. */
  readonly drafts: string[];
  /** Images that drafts lie over. */
  readonly images: string[];
  /** Drafts that are open now. */
  readonly open: Set<string>;
  /** Names that sandboxes run with. */
  readonly used: Set<string>;
  /** What each takes that is kept from now on, in bytes. */
  sizeBytes: number;
  /** No sandbox starts with what is kept next. */
  refuseNext(error: Error): void;
}

export function createFakeLayers(): FakeLayers {
  const kept = new Map<string, Date>();
  const drafts: string[] = [];
  const images: string[] = [];
  const open = new Set<string>();
  const used = new Set<string>();
  const sizes = new Map<string, number>();
  let refusal: Error | null = null;
  const fake: FakeLayers = {
    kept,
    drafts,
    images,
    open,
    used,
    sizeBytes: 0,
    refuseNext: (error) => {
      refusal = error;
    },
    systemKey: async () => "system",
    find: async (name) => {
      if (!kept.has(name)) return null;
      kept.set(name, new Date());
      return `/layers/${name}`;
    },
    draft: async (name, _spec, image = null) => {
      drafts.push(name);
      if (image !== null) images.push(image);
      open.add(name);
      return {
        sandbox: fakeSandbox(`draft_${drafts.length}`),
        keep: async (_signal, admit) => {
          open.delete(name);
          const error = refusal;
          refusal = null;
          if (error !== null) throw error;
          const { sizeBytes } = fake;
          await admit?.(sizeBytes);
          sizes.set(name, sizeBytes);
          kept.set(name, new Date());
          return `/layers/${name}`;
        },
        discard: async () => void open.delete(name),
      };
    },
    unpackImage: async (name, { archive, onProgress, admit }) => {
      drafts.push(name);
      for await (const chunk of archive) onProgress(Buffer.from(chunk).toString("utf8"));
      await admit?.(fake.sizeBytes);
      sizes.set(name, fake.sizeBytes);
      kept.set(name, new Date());
      return `/layers/${name}`;
    },
    list: async () =>
      [...kept].map(([name, usedAt]) => ({ name, usedAt, sizeBytes: sizes.get(name) ?? 0, inUse: used.has(name) })),
    remove: async (name) => !used.has(name) && (kept.delete(name) || true),
  };
  return fake;
}

function fakeSandbox(id: string): Sandbox {
  const refuse = async (): Promise<never> => {
    throw new Error("builds need no more of a sandbox than exec");
  };
  return {
    id,
    exec: async (command, { signal } = {}) => runHere(command, signal),
    readFile: refuse,
    writeFile: refuse,
    list: refuse,
    isQuiet: refuse,
    pause: refuse,
    resume: refuse,
    destroy: async () => undefined,
    gone: new Promise(() => undefined),
  };
}

function runHere(command: readonly string[], signal: AbortSignal | undefined): SandboxProcess {
  const [file = "", ...args] = command.map((word) => word.replace("cd /workspace", "cd /"));
  // A group of its own: what it starts ends with it, as in a sandbox.
  const child = spawn(file, args, { stdio: "pipe", detached: true });
  const kill = (): void => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) process.kill(-child.pid, "SIGKILL");
  };
  signal?.addEventListener("abort", kill, { once: true });
  if (signal?.aborted === true) kill();
  const exited = new Promise<ExecExit>((resolve) =>
    child.on("close", (code, killedWith) => resolve({ code, signal: killedWith })),
  );
  return { stdin: child.stdin, stdout: child.stdout, stderr: child.stderr, kill, exited };
}
