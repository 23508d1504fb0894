import { type ParseArgsOptionsConfig, parseArgs } from "node:util";

/** What a command may write to; tests pass their own. */
export interface Output {
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}

export const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

interface OptionHelp {
  /** One line for `--help`. */
  help: string;
  /** The word that stands for the value in `--help`. */
  value?: string;
}
type Options = Record<string, ParseArgsOptionsConfig[string] & OptionHelp>;

/** The parsed command line of one command. */
export interface Arguments {
  readonly positionals: readonly string[];
  /** The value of `--name`, `undefined` when it is not given. */
  text(name: string): string | undefined;
  flag(name: string): boolean;
}

export interface Command {
  /** `sessions list`: what the user types after `sandbox0`. */
  readonly name: string;
  readonly summary: string;
  /** The positional arguments in `--help`: `<session id>`. A trailing `...` takes any number, `[x]` is optional. */
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
    return {
      positionals: parsed.positionals,
      text: (name) => {
        const value = parsed.values[name];
        return typeof value === "string" ? value : undefined;
      },
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
}

/** The text of `sandbox0 <command> --help`. */
export function describeCommand(command: Command): string {
  const words = ["sandbox0", command.name, ...command.positionals, "[options]"];
  const options: Options = { ...command.options, help: { type: "boolean", short: "h", help: "this text" } };
  const rows = Object.entries(options).map(([name, option]) => {
    const short = option.short === undefined ? "" : `-${option.short}, `;
    const value = option.type === "string" ? ` <${option.value ?? "text"}>` : "";
    return `  ${`${short}--${name}${value}`.padEnd(26)} ${option.help}`;
  });
  const details = command.details === undefined ? "" : `\n${command.details.trim()}\n`;
  return `${command.summary}\n\nUsage: ${words.join(" ")}\n\n${rows.join("\n")}\n${details}`;
}
