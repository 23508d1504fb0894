import type { ExecOptions, Sandbox } from "@sandbox0/sandbox";

/** Of each stream; more of stdout ends the script, of stderr the end is kept. */
const OUTPUT_BYTES_MAX = 64 * 1024;
const COMPLAINT_BYTES_MAX = 4 * 1024;

export interface ScriptEnd {
  /** `null`: a signal ended it, its time was over, or the sandbox is gone. */
  code: number | null;
  output: string;
  /** The end of its stderr. */
  complaint: string;
  killedBy: "memory" | "disk" | null;
}

/** Of git: nobody is there to be asked, and what it says is in English. */
const GIT_ENV = {
  GIT_TERMINAL_PROMPT: "0",
  GIT_CONFIG_NOSYSTEM: "1",
  LC_ALL: "C",
};

/** Runs a bash script in a sandbox, as its user. Rejects with a `SandboxError` when the sandbox is of no use. */
export async function runScript(
  sandbox: Sandbox,
  script: string,
  args: readonly string[],
  options: Pick<ExecOptions, "signal" | "network">,
): Promise<ScriptEnd> {
  const child = await sandbox.exec(["/bin/bash", "--norc", "-c", script, "bash", ...args], { ...options, env: GIT_ENV });
  child.stdin.end();
  const output: Buffer[] = [];
  let bytes = 0;
  let complaint = Buffer.alloc(0);
  child.stdout.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > OUTPUT_BYTES_MAX) child.kill("SIGKILL");
    else output.push(chunk);
  });
  child.stderr.on("data", (chunk: Buffer) => {
    complaint = Buffer.concat([complaint, chunk]).subarray(-COMPLAINT_BYTES_MAX);
  });
  const { code, killedBy = null } = await child.exited;
  return { code, output: Buffer.concat(output).toString("utf8"), complaint: complaint.toString("utf8"), killedBy };
}
