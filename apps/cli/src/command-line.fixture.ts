import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** `sandbox0` as a child process, with nothing of the developer's environment but PATH and HOME. */
export interface CommandLine {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves with the first match on stdout; rejects when the process ends without one. */
  waitFor(pattern: RegExp): Promise<RegExpExecArray>;
}

export const BIN = fileURLToPath(new URL("../bin/sandbox0.js", import.meta.url));

export interface CommandLineOptions {
  /** What stands before the arguments, when it is not this Node with the CLI's file. */
  launch?: readonly string[];
  /** Standard input: this text and its end, or `pipe` to write to `child.stdin`. Default: none. */
  input?: string | typeof PIPE;
}

/** To write to standard input while the command runs. */
export const PIPE = Symbol("pipe");

export function startCommandLine(
  argv: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  { launch = [process.execPath, BIN], input }: CommandLineOptions = {},
): CommandLine {
  const { PATH = "", HOME = "" } = process.env;
  const [command = "", ...before] = launch;
  const child = spawn(command, [...before, ...argv], {
    env: { PATH, HOME, ...environment },
    stdio: ["pipe", "pipe", "pipe"],
  });
  if (input !== PIPE) child.stdin.end(input);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    stdout += chunk;
  });
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    stderr += chunk;
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
  const waitFor = (pattern: RegExp): Promise<RegExpExecArray> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const match = pattern.exec(stdout);
        if (match !== null) resolve(match);
      };
      child.stdout.on("data", look);
      look();
      ended.then(
        ({ code }) => reject(new Error(`sandbox0 ${argv.join(" ")} ended with ${code} before ${pattern}\n${stdout}${stderr}`)),
        reject,
      );
    });
  return { child, ended, waitFor };
}
