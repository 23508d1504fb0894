import { createInterface, type Interface } from "node:readline";
import type { Output } from "../command.ts";

/** Lines read ahead of a pipe; then it waits. */
const LINES_AHEAD_MAX = 1_000;

export interface LinesOptions {
  input: NodeJS.ReadStream;
  output: Output["stdout"];
  /** A person types: there is a prompt, and the line can be edited. Else lines come from a pipe or a file. */
  isTerminal: boolean;
  /** Ctrl-C, or the signal it stands for. */
  onInterrupt(): void;
}

/** What a person types, or a pipe brings, a line at a time. */
export class Lines {
  private readonly reader: Interface;
  private readonly options: LinesOptions;
  private readonly ahead: string[] = [];
  private waiting: ((line: string | undefined) => void) | undefined;
  private ended = false;
  private readonly interrupt = (): void => this.options.onInterrupt();

  constructor(options: LinesOptions) {
    this.options = options;
    const { input, output, isTerminal } = options;
    this.reader = createInterface({ input, ...(isTerminal ? { output } : {}), terminal: isTerminal });
    this.reader.on("line", (line) => this.take(line));
    this.reader.on("close", () => this.end());
    this.reader.on("SIGINT", this.interrupt);
    process.on("SIGINT", this.interrupt);
  }

  get isTerminal(): boolean {
    return this.options.isTerminal;
  }

  /** @returns the next line; `undefined` at the end of the input, or once `signal` is aborted */
  next(prompt: string, signal?: AbortSignal): Promise<string | undefined> {
    const line = this.ahead.shift();
    if (this.ahead.length === 0 && !this.ended) this.reader.resume();
    if (line !== undefined) return Promise.resolve(line);
    if (this.ended || signal?.aborted === true) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const cancel = (): void => this.answer(undefined);
      signal?.addEventListener("abort", cancel, { once: true });
      this.waiting = (answer) => {
        signal?.removeEventListener("abort", cancel);
        resolve(answer);
      };
      this.reader.setPrompt(prompt);
      this.show();
    });
  }

  /** Before something else is written where the prompt stands. */
  hide(): void {
    if (this.waiting !== undefined && this.isTerminal) this.options.output.write("\r\x1b[J");
  }

  /** The prompt again, with what was typed so far. */
  show(): void {
    if (this.waiting !== undefined && this.isTerminal) this.reader.prompt(true);
  }

  close(): void {
    process.off("SIGINT", this.interrupt);
    this.reader.close();
  }

  private take(line: string): void {
    if (this.waiting !== undefined) {
      this.answer(line);
      return;
    }
    this.ahead.push(line);
    if (this.ahead.length >= LINES_AHEAD_MAX) this.reader.pause();
  }

  private end(): void {
    this.ended = true;
    // What comes next on the terminal does not stand behind the prompt.
    if (this.waiting !== undefined && this.isTerminal) this.options.output.write("\n");
    this.answer(undefined);
  }

  private answer(line: string | undefined): void {
    const { waiting } = this;
    this.waiting = undefined;
    waiting?.(line);
  }
}
