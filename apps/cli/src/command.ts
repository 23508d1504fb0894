import { type ParseArgsOptionsConfig, parseArgs } from "node:util";

/** What a command may write to; tests pass their own. */
export interface Output {
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}

export const EXIT = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;

interface OptionHelp {
  /** One line for `--help`. */
  help: string;
  /** The word that stands for the value in `--help`; `a|b|c` is a choice, which parsing checks and completion offers. */
  value?: string;
}
export type Options = Record<string, ParseArgsOptionsConfig[string] & OptionHelp>;

/** The parsed command line of one command. */
export interface Arguments {
  readonly positionals: readonly string[];
  /** The value of `--name`, `undefined` when it is not given. */
  text(name: string): string | undefined;
  /** All values of a `multiple` option, in order. */
  texts(name: string): readonly string[];
  flag(name: string): boolean;
}

export interface Command {
  /** `sessions list`: what the user types after `sandbox0`. */
  readonly name: string;
  readonly summary: string;
  /**
   * The positional arguments in `--help`: `<session id>`. A trailing `...` takes any number, `[x]` is optional, `<a|b>` is
   * a choice.
   */
  readonly positionals: readonly string[];
  readonly options: Options;
  /** Longer help: examples, what the exit code means. */
  readonly details?: string;
  /** @returns the exit code. @throws UserError for what the user can mend */
  run(args: Arguments, output: Output): Promise<number>;
}

/** A failure the user can do something about: its message is all that is printed. */
export class UserError extends Error {
  readonly exitCode: number;
  constructor(message: string, options: ErrorOptions & { exitCode?: number } = {}) {
    super(message, options);
    this.name = "UserError";
    this.exitCode = options.exitCode ?? EXIT.failed;
  }
}

export const JSON_OPTION = { json: { type: "boolean", help: "print JSON" } } as const;

/** @throws UserError with exit code 2 when the command line does not fit the command */
export function parseCommandLine(command: Command, argv: readonly string[]): Arguments {
  try {
    const parsed = parseArgs({ args: [...argv], options: command.options, allowPositionals: true, strict: true });
    checkPositionals(command, parsed.positionals);
    const texts = (name: string): string[] =>
      [parsed.values[name]].flat().filter((value): value is string => typeof value === "string");
    checkChoices(command, texts);
    return {
      positionals: parsed.positionals,
      text: (name) => texts(name)[0],
      texts,
      flag: (name) => parsed.values[name] === true,
    };
  } catch (error) {
    if (error instanceof Error && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS")) {
      throw usageError(command, error.message.split(". ")[0] ?? error.message);
    }
    throw error;
  }
}

export function usageError(command: Command, problem: string): UserError {
  return new UserError(`${problem}.\nRun 'sandbox0 ${command.name} --help'.`, { exitCode: EXIT.usage });
}

function checkPositionals(command: Command, given: readonly string[]): void {
  const required = command.positionals.filter((name) => !name.startsWith("["));
  const missing = required[given.length];
  if (missing !== undefined) throw usageError(command, `Missing ${missing}`);
  const takesMore = command.positionals.some((name) => name.includes("..."));
  const extra = given[command.positionals.length];
  if (!takesMore && extra !== undefined) throw usageError(command, `Unexpected argument '${extra}'`);
  for (const [index, name] of command.positionals.entries()) {
    const [value, choices] = [given[index], choicesOf(name)];
    if (value !== undefined && choices.length > 0 && !choices.includes(value))
      throw usageError(command, `'${value}' is none of ${choices.join(", ")}`);
  }
}

function checkChoices(command: Command, textsOf: (name: string) => readonly string[]): void {
  for (const [name, { value }] of Object.entries(command.options)) {
    const choices = choicesOf(value);
    const wrong = choices.length === 0 ? undefined : textsOf(name).find((text) => !choices.includes(text));
    if (wrong !== undefined) throw usageError(command, `No ${name} '${wrong}': use ${choices.join(", ")}`);
  }
}

/** What `<a|b|c>`, or the same without brackets, lets one choose from; empty for anything else. */
export function choicesOf(placeholder = ""): string[] {
  const bare = placeholder.replace(/^[<[](.*)[>\]]$/, "$1");
  return bare.includes("|") ? bare.split("|") : [];
}

/** Its own, and what every command has. */
export function optionsOf(command: Command): Options {
  return { ...command.options, help: { type: "boolean", short: "h", help: "this text" } };
}

/** The text of `sandbox0 <command> --help`. */
export function describeCommand(command: Command): string {
  const words = ["sandbox0", command.name, ...command.positionals, "[options]"];
  const options = Object.entries(optionsOf(command)).map(([name, option]) => {
    const short = option.short === undefined ? "" : `-${option.short}, `;
    const value = option.type === "string" ? ` <${option.value ?? "text"}>${option.multiple ? "..." : ""}` : "";
    return { usage: `${short}--${name}${value}`, help: option.help };
  });
  const width = Math.max(...options.map(({ usage }) => usage.length));
  const rows = options.map(({ usage, help }) => `  ${usage.padEnd(width)}  ${help}`);
  const details = command.details === undefined ? "" : `\n${command.details.trim()}\n`;
  return `${command.summary}\n\nUsage: ${words.join(" ")}\n\n${rows.join("\n")}\n${details}`;
}
