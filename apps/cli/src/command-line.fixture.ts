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

/** `launch`: what stands before the arguments, when it is not this Node with the CLI's file. */
export function startCommandLine(
  argv: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  launch: readonly string[] = [process.execPath, BIN],
): CommandLine {
  const { PATH = "", HOME = "" } = process.env;
  const [command = "", ...before] = launch;
  const child = spawn(command, [...before, ...argv], {
    env: { PATH, HOME, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
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
