import { randomUUID } from "node:crypto";
import type { ResultContent } from "@sandbox0/protocol";
import type { Sandbox } from "../port.ts";
import type { Slots } from "../slots.ts";
import { CallLimit } from "./call-limit.ts";
import { FileTools, type FileToolOutcome } from "./file-tools.ts";
import { OutputCapture } from "./output-capture.ts";
import type { OutputMeter } from "./output-meter.ts";
import { cutText, RESULT_CHARS_MAX } from "./result-text.ts";
import { Shell, VARIABLE_NAME, type ShellEnvironment, type ShellOutcome } from "./shell.ts";
import { Spill } from "./spill.ts";
import { BUILT_IN_TOOLS } from "./tool-definitions.ts";
import { checkToolInput } from "./tool-input.ts";

/** Any tool, from the call to its result, waiting for the shell included. */
export const CALL_TIMEOUT_MS = 15 * 60_000;
/** A bash command that names no limit of its own, as in the SDK. */
export const BASH_TIMEOUT_MS = 120_000;
/** Calls of one sandbox that run or wait. */
export const CALLS_MAX = 64;
/** How long a file tool may take to notice that it was aborted before its server is ended. */
const CANCEL_GRACE_MS = 10_000;

export interface ToolResult {
  content: ResultContent[];
  isError: boolean;
}

export interface CallOptions {
  /** Stops the call at once, with everything that it started. */
  signal?: AbortSignal;
  /** Default `CALL_TIMEOUT_MS`. */
  timeoutMs?: number;
  /** Names the file of a result that is too long for the model; letters, digits, `_` and `-`. */
  callId?: string;
}

/** What the tool clients of one server share. */
export interface SharedBounds {
  meter: OutputMeter;
  /** Held by each start of a process in a sandbox until it is ready: starts take the processor, and wait in line. */
  starts: Slots;
}

/**
 * The built-in tools of one sandbox (contract §3.2, semantics §7). Calls may run at the same time; bash commands wait
 * for each other, because they share a shell. What the tool did wrong, or the sandbox, is an error result: `call`
 * rejects for a bug only.
 */
export class ToolClient {
  readonly #sandbox: Sandbox;
  readonly #bounds: SharedBounds;
  #shell: Promise<Shell> | null = null;
  #fileTools: Promise<FileTools> | null = null;
  #shellFree: Promise<unknown> = Promise.resolve();
  #calls = 0;
  #environment: ShellEnvironment = {};

  constructor(sandbox: Sandbox, bounds: SharedBounds) {
    this.#sandbox = sandbox;
    this.#bounds = bounds;
  }

  /** Calls that run or wait now. */
  get callsRunning(): number {
    return this.#calls;
  }

  /**
   * What the commands of `bash` find in their environment besides, from the next one on. Placeholders, no secrets. The
   * variables of an earlier call that are not among these are unset.
   */
  setEnvironment(environment: ShellEnvironment): void {
    const bad = Object.entries(environment).find(([name, value]) => !VARIABLE_NAME.test(name) || value.includes("\0"));
    if (bad !== undefined) throw new Error(`not an environment variable: ${bad[0]}`);
    this.#environment = environment;
  }

  /** Starts ahead what the first call would otherwise wait for. */
  async warm(what: { shell: boolean; fileTools: boolean }): Promise<void> {
    await Promise.all([what.shell ? this.#startShell() : null, what.fileTools ? this.#startFileTools() : null]);
  }

  async call(name: string, input: unknown, options: CallOptions = {}): Promise<ToolResult> {
    const tool = BUILT_IN_TOOLS.find((candidate) => candidate.name === name);
    if (tool === undefined) return failure(`unknown tool: ${name}`);
    const checked = checkToolInput(tool, input);
    if (!checked.ok) return failure(checked.message);
    if (this.#calls >= CALLS_MAX) return failure(`${name}: too many calls at once (${CALLS_MAX})`);
    this.#calls++;
    const callId = safeName(options.callId) ?? `call-${randomUUID()}`;
    const timeoutMs = options.timeoutMs ?? CALL_TIMEOUT_MS;
    const limit = new CallLimit(timeoutMs, options.signal);
    try {
      return await (name === "bash" ? this.#bash(checked.input, callId, limit) : this.#file(name, checked.input, callId, limit));
    } catch (error) {
      return failure(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      limit.release();
      this.#calls--;
    }
  }

  async #bash(input: Record<string, unknown>, callId: string, limit: CallLimit): Promise<ToolResult> {
    const turn = this.#shellFree;
    const { promise, resolve: leave } = Promise.withResolvers<void>();
    this.#shellFree = promise;
    try {
      await limit.race(turn);
      return await this.#bashNow(input, callId, limit);
    } finally {
      // Not before its forerunner, even if this call has given up waiting.
      void turn.then(() => leave());
    }
  }

  async #bashNow(input: Record<string, unknown>, callId: string, limit: CallLimit): Promise<ToolResult> {
    const command = typeof input.command === "string" ? input.command : "";
    if (input.restart === true) {
      await this.#dropShell();
      if (command === "") return success("bash session restarted");
    }
    if (command === "") return failure("bash: command is required");
    if (command.includes("\0")) return failure("bash: command has a NUL character");
    limit.shorten(bashTimeoutMs(input.timeout_ms));
    const shell = await limit.race(this.#startShell());
    const capture = new OutputCapture(this.#sandbox, callId);
    try {
      await limit.race(shell.setEnvironment(this.#environment));
      const outcome = await limit.race(shell.run(command, (bytes) => capture.add(bytes)));
      return await limit.race(describeShell(outcome, capture));
    } catch (error) {
      // The command goes on otherwise, and its output would be taken for the next one's.
      await this.#dropShell();
      capture.abandon();
      throw error;
    }
  }

  async #file(name: string, input: Record<string, unknown>, callId: string, limit: CallLimit): Promise<ToolResult> {
    const fileTools = await limit.race(this.#startFileTools());
    const answer = fileTools.call(name, input, limit.signal);
    let outcome: FileToolOutcome;
    try {
      outcome = await limit.race(answer);
    } catch (error) {
      killUnlessAnswered(fileTools, answer);
      throw error;
    }
    if (outcome.type === "ended") return failure(`${name}: the tool server ended${becauseOf(outcome.killedBy)}`);
    const text = await limit.race(this.fit(outcome.text, callId));
    return outcome.isError ? failure(text) : success(text);
  }

  /**
   * A text that is too long for the model goes to a file of the sandbox; its start and end come back with the path
   * (semantics §7). For results of tools that run elsewhere too.
   * @param callId names the file; letters, digits, `_` and `-`
   */
  async fit(text: string, callId: string): Promise<string> {
    if (text.length <= RESULT_CHARS_MAX) return text;
    const spill = await Spill.open(this.#sandbox, callId);
    await spill.write(Buffer.from(text));
    const isSaved = await spill.close();
    return cutText(text, isSaved ? spill.path : null);
  }

  async #startShell(): Promise<Shell> {
    if (this.#shell !== null && (await this.#shell).isOver) this.#shell = null;
    this.#shell ??= this.#inLine(() => Shell.start(this.#sandbox, this.#bounds.meter, this.#environment)).catch(
      (error: unknown) => {
        this.#shell = null;
        throw error;
      },
    );
    return this.#shell;
  }

  async #dropShell(): Promise<void> {
    const shell = this.#shell;
    this.#shell = null;
    // The next one needs the room that its processes have.
    await (await shell)?.kill();
  }

  async #startFileTools(): Promise<FileTools> {
    if (this.#fileTools !== null && (await this.#fileTools).isOver) this.#fileTools = null;
    this.#fileTools ??= this.#inLine(() => FileTools.start(this.#sandbox)).catch((error: unknown) => {
      this.#fileTools = null;
      throw error;
    });
    return this.#fileTools;
  }

  async #inLine<T>(start: () => Promise<T>): Promise<T> {
    await this.#bounds.starts.take();
    try {
      return await start();
    } finally {
      this.#bounds.starts.give();
    }
  }
}

/** 0 means the default, as in the official runner (contract §3.2). */
function bashTimeoutMs(asked: unknown): number {
  return typeof asked === "number" && asked > 0 ? Math.min(asked, CALL_TIMEOUT_MS) : BASH_TIMEOUT_MS;
}

async function describeShell(outcome: ShellOutcome, capture: OutputCapture): Promise<ToolResult> {
  const text = await capture.finish();
  if (outcome.type === "ended")
    return failure(`bash: bash session terminated${becauseOf(outcome.killedBy)}${text === "" ? "" : `\n${text}`}`);
  return outcome.status === 0 ? success(text) : failure(text === "" ? `exit ${outcome.status}` : text);
}

function becauseOf(killedBy: "memory" | "disk" | undefined): string {
  if (killedBy === undefined) return "";
  return killedBy === "memory"
    ? ": the sandbox ran out of memory"
    : ": the sandbox's disk space is used up; delete files to go on";
}

function killUnlessAnswered(fileTools: FileTools, answer: Promise<FileToolOutcome>): void {
  const timer = setTimeout(() => fileTools.kill(), CANCEL_GRACE_MS);
  void answer.finally(() => clearTimeout(timer));
}

/** An empty text block is refused by the API. */
function success(text: string): ToolResult {
  return { content: [{ type: "text", text: text === "" ? "(no output)" : text }], isError: false };
}

function failure(text: string): ToolResult {
  return { ...success(text), isError: true };
}

function safeName(callId: string | undefined): string | null {
  return callId !== undefined && /^[A-Za-z0-9_-]{1,128}$/.test(callId) ? callId : null;
}
