import type { Sandbox, SandboxProcess } from "../port.ts";
import { TOOL_OUTPUTS_DIR } from "../layout.ts";

/** What is kept of one tool result in the sandbox; what a tool writes beyond this is lost, and the result says so. */
export const SPILL_BYTES_MAX = 64 * 1024 * 1024;

const WRITE_SCRIPT = 'umask 077; mkdir -p -- "$(dirname -- "$1")" && exec cat >"$1"';

/** A file in the sandbox that takes a long result in full, written by a command in the sandbox as the bytes come. */
export class Spill {
  readonly path: string;
  readonly #child: SandboxProcess;
  #bytes = 0;
  #isOver = false;

  static async open(sandbox: Sandbox, name: string): Promise<Spill> {
    const path = `${TOOL_OUTPUTS_DIR}/${name}.txt`;
    const child = await sandbox.exec(["/bin/sh", "-c", WRITE_SCRIPT, "sh", path], { cwd: "/", network: false });
    child.stdout.resume();
    child.stderr.resume();
    return new Spill(path, child);
  }

  private constructor(path: string, child: SandboxProcess) {
    this.path = path;
    this.#child = child;
    void child.exited.then(() => {
      this.#isOver = true;
    });
  }

  get isCut(): boolean {
    return this.#bytes > SPILL_BYTES_MAX;
  }

  /** Resolves when more may be written: the bound on memory. */
  async write(bytes: Buffer): Promise<void> {
    const room = Math.max(0, SPILL_BYTES_MAX - this.#bytes);
    this.#bytes += bytes.length;
    const part = bytes.subarray(0, room);
    if (part.length === 0 || this.#isOver || this.#child.stdin.write(part)) return;
    await Promise.race([new Promise((resolve) => this.#child.stdin.once("drain", resolve)), this.#child.exited]);
  }

  /** @returns whether the whole of it (up to the bound) is in the file */
  async close(): Promise<boolean> {
    this.#child.stdin.end();
    return (await this.#child.exited).code === 0;
  }

  abandon(): void {
    this.#child.kill("SIGKILL");
  }
}
