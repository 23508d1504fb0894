import { randomUUID } from "node:crypto";
import type { Readable } from "node:stream";
import { WORKSPACE_DIR } from "../layout.ts";
import { SandboxError, type Sandbox, type SandboxProcess } from "../port.ts";
import { collectStart } from "./collect-start.ts";

/** After the marker: an exit status and a newline. */
const STATUS_CHARS_MAX = 8;
const SHELL_COMMAND = ["/bin/bash", "--noprofile", "--norc"];
/** As the SDK's bash tool sets them. */
const SHELL_ENV = { PS1: "", PS2: "", TERM: "dumb" };

export type ShellOutcome =
  | { type: "exited"; status: number }
  /** The shell itself ended: `exit`, or a limit of the sandbox. */
  | { type: "ended"; killedBy?: "memory" | "disk" };

/**
 * A persistent bash in the sandbox, driven over its stdio. The host reads untrusted bytes here: all it does with them is
 * look for one random marker and hand them on, in constant memory.
 */
export class Shell {
  readonly #child: SandboxProcess;
  #isOver = false;

  /** @throws SandboxError when the shell ends before it is ready */
  static async start(sandbox: Sandbox): Promise<Shell> {
    const child = await sandbox.exec(SHELL_COMMAND, { cwd: WORKSPACE_DIR, env: SHELL_ENV });
    const complaint = collectStart(child.stderr);
    const shell = new Shell(child);
    const outcome = await shell.run(":", ignoreOutput);
    if (outcome.type === "exited") return shell;
    throw new SandboxError("unavailable", `the shell did not start: ${complaint()}`);
  }

  private constructor(child: SandboxProcess) {
    this.#child = child;
    void child.exited.then(() => {
      this.#isOver = true;
    });
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Ends the shell and all that was ever started from it. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /**
   * One command at a time. When it is not waited for to the end, the shell must be killed: its output is still to come.
   * @param sink takes the output; the shell is not read while it has not resolved
   */
  async run(command: string, sink: (bytes: Buffer) => Promise<void>): Promise<ShellOutcome> {
    const marker = `__SANDBOX0_${randomUUID()}_DONE__`;
    this.#child.stdin.write(wrap(command, marker));
    const status = await readToMarker(this.#child.stdout as Readable, marker, sink);
    if (status !== null) return { type: "exited", status };
    const exit = await this.#child.exited;
    return exit.killedBy === undefined ? { type: "ended" } : { type: "ended", killedBy: exit.killedBy };
  }
}

async function ignoreOutput(): Promise<void> {}

/**
 * The marker is broken in two so that it is not in what the shell may echo (`set -v`, `set -x`). `eval` keeps a syntax
 * error within the command: the shell goes on, and the status says so. Nothing is read from the shell's own input.
 */
function wrap(command: string, marker: string): string {
  const quoted = `'${command.replaceAll("'", "'\\''")}'`;
  return `eval ${quoted} </dev/null 2>&1; printf '\\n${marker.slice(0, 8)}''${marker.slice(8)}%d\\n' $?\n`;
}

/** @returns the exit status, or `null` when the stream ended first */
async function readToMarker(stream: Readable, marker: string, sink: (bytes: Buffer) => Promise<void>): Promise<number | null> {
  const end = Buffer.from(`\n${marker}`);
  let held: Buffer = Buffer.alloc(0);
  for (;;) {
    const chunk = await readChunk(stream);
    if (chunk === null) {
      await sink(held);
      return null;
    }
    const bytes = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const found = findEnd(bytes, end);
    await sink(bytes.subarray(0, found.at));
    if (found.status !== null) return found.status;
    held = Buffer.from(bytes.subarray(found.at));
  }
}

/** Where the output ends, with the status; or up to where it certainly is output. */
function findEnd(bytes: Buffer, end: Buffer): { at: number; status: number | null } {
  const endBytesMax = end.length + STATUS_CHARS_MAX;
  for (let at = bytes.indexOf(end); at >= 0; at = bytes.indexOf(end, at + 1)) {
    const status = /^(\d+)\n/.exec(bytes.toString("latin1", at + end.length, at + endBytesMax));
    if (status !== null) return { at, status: Number(status[1]) };
    if (bytes.length - at < endBytesMax) return { at, status: null };
  }
  return { at: Math.max(0, bytes.length - endBytesMax), status: null };
}

/** Paused reading: what is not asked for stays in the pipe. @returns `null` at the end */
async function readChunk(stream: Readable): Promise<Buffer | null> {
  for (;;) {
    const chunk = stream.read() as Buffer | null;
    if (chunk !== null) return chunk;
    if (stream.readableEnded || stream.destroyed) return null;
    await new Promise<void>((resolve) => {
      const settle = (): void => {
        for (const event of ["readable", "end", "close", "error"]) stream.off(event, settle);
        resolve();
      };
      for (const event of ["readable", "end", "close", "error"]) stream.on(event, settle);
    });
  }
}
