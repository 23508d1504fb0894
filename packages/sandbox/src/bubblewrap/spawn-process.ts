import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { SandboxError } from "../port.ts";

export interface SpawnRequest {
  file: string;
  args: readonly string[];
  env: Readonly<Record<string, string>>;
  cwd: string;
  /** Files that the process has open for reading, from descriptor 3 on. */
  files: readonly string[];
}

export interface Spawned {
  pid: number;
  stdin: Writable;
  stdout: Readable;
  stderr: Readable;
  /** Resolves once, never rejects. */
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** Starts a process on the host. @throws SandboxError `unavailable` */
export async function spawnProcess({ file, args, env, cwd, files }: SpawnRequest): Promise<Spawned> {
  const descriptors = files.map((path) => openSync(path, "r"));
  try {
    const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe", ...descriptors], env: { ...env }, cwd });
    const { promise: exited, resolve } = Promise.withResolvers<Awaited<Spawned["exited"]>>();
    const { promise: failed, reject } = Promise.withResolvers<never>();
    child.once("exit", (code, signal) => resolve({ code, signal }));
    child.once("error", (error) => reject(new SandboxError("unavailable", `a process could not be started: ${error.message}`)));
    const { pid, stdin, stdout, stderr } = child;
    if (pid === undefined || stdin === null || stdout === null || stderr === null) return await failed;
    // Input to a process that has ended: its exit says so.
    stdin.on("error", () => undefined);
    return { pid, stdin, stdout: stdout as Readable, stderr: stderr as Readable, exited };
  } finally {
    for (const descriptor of descriptors) closeSync(descriptor);
  }
}
