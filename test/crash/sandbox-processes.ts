import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** A process in a sandbox of a server. */
export interface SandboxProcess {
  pid: number;
  /** Its program, as the sandbox sees it. */
  program: string;
  /** Which session's: the volume that it has as its workspace. */
  volume: string;
}

/** What runs in the sandboxes of a server now. */
export function sandboxProcesses(serverPid: number): SandboxProcess[] {
  return descendants(serverPid).flatMap((pid) => {
    const volume = reading(() => /(\S*)\/workspace \/workspace /.exec(readFileSync(`/proc/${pid}/mountinfo`, "utf8"))?.[1]);
    const program = reading(() => readlinkSync(`/proc/${pid}/exe`));
    return volume === undefined || program === undefined ? [] : [{ pid, program, volume }];
  });
}

/** Also of what ended by itself a moment ago. */
export function killProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function descendants(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    const parent = reading(() => Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${name}/status`, "utf8"))?.[1]));
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found: number[] = [];
  const walk = (pid: number): void => {
    for (const child of children.get(pid) ?? []) {
      found.push(child);
      walk(child);
    }
  };
  walk(root);
  return found;
}

/** `undefined`: it ended while we looked. */
function reading<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (["ENOENT", "ESRCH", "EINVAL"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}
