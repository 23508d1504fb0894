import { EventEmitter } from "node:events";
import { PassThrough, Transform } from "node:stream";
import type { SpawnedProcess } from "@anthropic-ai/claude-agent-sdk";
import type { SandboxProcess } from "@sandbox0/sandbox";

/** A longer line of the program is no message; images come in lines of some megabytes. */
const LINE_BYTES_MAX = 64 * 1024 * 1024;
/** Kept of what it says on stderr, for the error. */
const COMPLAINT_CHARS_MAX = 1_000;

/** A process in the sandbox as the Agent SDK wants one: it is there at once, and begins when the sandbox has started it. */
export class SandboxedProgram extends EventEmitter implements SpawnedProcess {
  readonly stdin = new PassThrough();
  readonly stdout = new PassThrough();
  killed = false;
  exitCode: number | null = null;
  signalCode: NodeJS.Signals | null = null;
  /** Resolves when the process is gone, or could not be started. */
  readonly ended: Promise<void>;
  #process: SandboxProcess | null = null;
  #complaint = "";

  /** @param ready it is told nothing before; when that fails, it is ended */
  constructor(starting: Promise<SandboxProcess>, ready: Promise<void>) {
    super();
    this.ended = this.#run(starting, ready);
  }

  /** What it said last, when it said why it ended. */
  get complaint(): string {
    return this.#complaint.trim();
  }

  kill(signal: NodeJS.Signals): boolean {
    this.killed = true;
    this.#process?.kill(signal);
    return true;
  }

  async #run(starting: Promise<SandboxProcess>, ready: Promise<void>): Promise<void> {
    const failure = ready.then(() => null, messageOf);
    try {
      this.#process = await starting;
    } catch (error) {
      this.#complaint = messageOf(error);
      this.exitCode = -1;
      this.stdout.end();
      this.emit("exit", this.exitCode, null);
      return;
    }
    const child = this.#process;
    if (this.killed) child.kill("SIGKILL");
    child.stderr.on("data", (chunk: Buffer) => {
      this.#complaint = (this.#complaint + chunk.toString("utf8")).slice(-COMPLAINT_CHARS_MAX);
    });
    void failure.then((why) => (why === null ? this.stdin.pipe(child.stdin) : this.#giveUp(why)));
    child.stdout.pipe(this.#linesWithinBound()).pipe(this.stdout);
    const { code, signal, killedBy } = await child.exited;
    if (killedBy !== undefined) this.#complaint = `the sandbox ended it at its limit of ${killedBy}`;
    this.exitCode = code;
    this.signalCode = signal;
    this.emit("exit", code, signal);
  }

  #giveUp(why: string): void {
    this.#complaint = why;
    this.kill("SIGKILL");
  }

  #linesWithinBound(): Transform {
    let lineBytes = 0;
    return new Transform({
      transform: (chunk: Buffer, _, done) => {
        const lastNewline = chunk.lastIndexOf(0x0a);
        lineBytes = lastNewline === -1 ? lineBytes + chunk.length : chunk.length - lastNewline - 1;
        if (lineBytes <= LINE_BYTES_MAX) return done(null, chunk);
        this.#giveUp(`it wrote a line of more than ${LINE_BYTES_MAX} bytes`);
        done();
      },
    });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
