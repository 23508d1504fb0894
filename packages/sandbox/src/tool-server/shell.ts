import { randomUUID } from "node:crypto";
import type { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { WORKSPACE_DIR } from "../layout.ts";
import { SandboxError, type Sandbox, type SandboxProcess } from "../port.ts";
import { collectStart } from "../collect-start.ts";
import { withinStartTime } from "./start-time.ts";
import type { OutputMeter } from "./output-meter.ts";

/** A sandbox full of processes that die is slow, and one that is paused ends nothing. */
const END_MS_MAX = 5_000;
/** After the marker: an exit status and a newline. */
const STATUS_CHARS_MAX = 8;
const SHELL_COMMAND = ["/bin/bash", "--noprofile", "--norc"];
/** As the SDK's bash tool sets them. */
const SHELL_ENV = { PS1: "", PS2: "", TERM: "dumb" };

/** Variables by name, each one that a shell can have (`VARIABLE_NAME`). */
export type ShellEnvironment = Readonly<Record<string, string>>;
export const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

export type ShellOutcome =
  | { type: "exited"; status: number }
  /** The shell itself ended: `exit`, or a limit of the sandbox. */
  | { type: "ended"; killedBy?: "memory" | "disk" };

interface RunningCommand {
  output: MarkedOutput;
  /** `null`: the shell ended first. */
  resolve(status: number | null): void;
  reject(error: unknown): void;
}

/** Takes output; the shell is not read while it has not resolved. */
export type OutputSink = (bytes: Buffer) => Promise<void>;

/**
 * A persistent bash in the sandbox, driven over its stdio. The host reads untrusted bytes here: all it does with them is
 * look for one random marker and hand them on, in constant memory. What background commands print while no command runs
 * is read and dropped, as the SDK's tool does, so that they do not come to a halt.
 */
export class Shell {
  readonly #child: SandboxProcess;
  readonly #meter: OutputMeter;
  #running: RunningCommand | null = null;
  /** Bytes since the last command began. */
  #bytes = 0;
  #isOver = false;
  #environment: ShellEnvironment;

  /** @throws SandboxError when the shell ends before it is ready */
  static async start(sandbox: Sandbox, meter: OutputMeter, environment: ShellEnvironment): Promise<Shell> {
    return withinStartTime(async (signal) => {
      const env = { ...SHELL_ENV, ...environment };
      const child = await sandbox.exec(SHELL_COMMAND, { cwd: WORKSPACE_DIR, env, signal });
      // Commands write to stdout only: on stderr is what the launch has to say.
      const complaint = collectStart(child.stderr);
      const shell = new Shell(child, meter, environment);
      const outcome = await shell.run(":", () => Promise.resolve());
      if (outcome.type === "exited") return shell;
      throw new SandboxError("unavailable", `the shell did not start: ${complaint()}`);
    });
  }

  private constructor(child: SandboxProcess, meter: OutputMeter, environment: ShellEnvironment) {
    this.#environment = environment;
    this.#child = child;
    this.#meter = meter;
    void this.#readAll(child.stdout as Readable);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Ends the shell and all that was ever started from it; resolves when it is gone, or late. */
  async kill(): Promise<void> {
    this.#isOver = true;
    this.#child.kill("SIGKILL");
    await Promise.race([this.#child.exited, delay(END_MS_MAX, undefined, { ref: false })]);
  }

  /** One command at a time. When it is not waited for to the end, the shell must be killed: its output is still to come. */
  async run(command: string, sink: OutputSink): Promise<ShellOutcome> {
    const marker = `__SANDBOX0_${randomUUID()}_DONE__`;
    const { promise, resolve, reject } = Promise.withResolvers<number | null>();
    if (!this.#isOver) {
      this.#bytes = 0;
      this.#running = { output: new MarkedOutput(marker, sink), resolve, reject };
      this.#child.stdin.write(wrap(command, marker));
      const status = await promise;
      if (status !== null) return { type: "exited", status };
    }
    const exit = await this.#child.exited;
    return exit.killedBy === undefined ? { type: "ended" } : { type: "ended", killedBy: exit.killedBy };
  }

  /** Exports these variables, instead of those of before, to what is run from now on. No command may be running. */
  async setEnvironment(environment: ShellEnvironment): Promise<void> {
    const before = this.#environment;
    if (environment === before) return;
    this.#environment = environment;
    const changed = Object.entries(environment).filter(([name, value]) => before[name] !== value);
    const gone = Object.keys(before).filter((name) => !(name in environment));
    if (changed.length === 0 && gone.length === 0) return;
    const exports = changed.map(([name, value]) => `export ${name}=${quote(value)}`);
    await this.run([...gone.map((name) => `unset ${name}`), ...exports].join("; "), () => Promise.resolve());
  }

  async #readAll(stdout: Readable): Promise<void> {
    // A broken pipe ends the reading as well; what became of the shell, its exit says.
    stdout.on("error", () => undefined);
    for (let chunk = await readChunk(stdout); chunk !== null; chunk = await readChunk(stdout)) {
      await this.#meter.take(chunk.length, this.#bytes);
      this.#bytes += chunk.length;
      await this.#feed((output) => output.take(chunk));
    }
    this.#isOver = true;
    await this.#feed((output) => output.flush());
  }

  /** @param feed resolves with what the command is over with, if it is */
  async #feed(feed: (output: MarkedOutput) => Promise<number | null | undefined>): Promise<void> {
    const running = this.#running;
    if (running === null) return;
    try {
      const status = await feed(running.output);
      if (status === undefined) return;
      this.#running = null;
      running.resolve(status);
    } catch (error) {
      // The sink's: the command's caller hears of it, and the shell is read on.
      this.#running = null;
      running.reject(error);
    }
  }
}

/**
 * The marker is broken in two so that it is not in what the shell may echo (`set -v`, `set -x`). `eval` keeps a syntax
 * error within the command: the shell goes on, and the status says so. Nothing is read from the shell's own input.
 */
function wrap(command: string, marker: string): string {
  return `eval ${quote(command)} </dev/null 2>&1; printf '\\n${marker.slice(0, 8)}''${marker.slice(8)}%d\\n' $?\n`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Hands on what comes before the marker and finds the exit status behind it. */
class MarkedOutput {
  readonly #end: Buffer;
  readonly #sink: OutputSink;
  /** May be the beginning of the marker. */
  #held: Buffer = Buffer.alloc(0);

  constructor(marker: string, sink: OutputSink) {
    this.#end = Buffer.from(`\n${marker}`);
    this.#sink = sink;
  }

  /** @returns the exit status when it was in there; what follows it belongs to nobody */
  async take(chunk: Buffer): Promise<number | undefined> {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const { at, status } = this.#find(bytes);
    this.#held = Buffer.from(bytes.subarray(at));
    if (at > 0) await this.#sink(bytes.subarray(0, at));
    return status;
  }

  /** There is no more. */
  async flush(): Promise<null> {
    await this.#sink(this.#held);
    return null;
  }

  /** Where the output ends, with the status; or up to where it certainly is output. */
  #find(bytes: Buffer): { at: number; status?: number } {
    const endBytesMax = this.#end.length + STATUS_CHARS_MAX;
    for (let at = bytes.indexOf(this.#end); at >= 0; at = bytes.indexOf(this.#end, at + 1)) {
      const status = /^(\d+)\n/.exec(bytes.toString("latin1", at + this.#end.length, at + endBytesMax));
      if (status !== null) return { at, status: Number(status[1]) };
      if (bytes.length - at < endBytesMax) return { at };
    }
    return { at: Math.max(0, bytes.length - endBytesMax) };
  }
}

/** Paused reading: what is not asked for stays in the pipe. @returns `null` at the end */
async function readChunk(stream: Readable): Promise<Buffer | null> {
  for (;;) {
    const chunk = stream.read() as Buffer | null;
    if (chunk !== null) return chunk;
    if (stream.readableEnded || stream.destroyed) return null;
    const { promise, resolve } = Promise.withResolvers<void>();
    const settle = (): void => resolve();
    const events = ["readable", "end", "close", "error"];
    for (const event of events) stream.on(event, settle);
    await promise;
    for (const event of events) stream.off(event, settle);
  }
}
