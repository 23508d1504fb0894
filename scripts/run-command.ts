import { spawn } from "node:child_process";
import { once } from "node:events";

/** Runs a program and shows what it says. @throws Error when it fails */
export async function runCommand(command: string, args: readonly string[], cwd: string): Promise<void> {
  const child = spawn(command, args, { cwd, stdio: "inherit" });
  const [code] = (await once(child, "exit")) as [number | null];
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} in ${cwd} ended with ${code}`);
}
