import { readFileSync } from "node:fs";

/**
 * Names this server process so that a later one can tell whether it is still there: `<pid>.<start time in ticks>`.
 * Whatever is made outside the volumes carries it in its name, and the next start removes what belongs to the dead.
 */
export function instanceTag(): string {
  return `${process.pid}.${startTicks(process.pid)}`;
}

/** @param name a name that starts with an instance's tag */
export function belongsToTheDead(name: string): boolean {
  const match = /^(\d+)\.(\d+)(?:\.|$)/.exec(name);
  if (match === null) return false;
  return startTicks(Number(match[1])) !== match[2];
}

/** Field 22 of /proc/<pid>/stat; the name in field 2 may hold spaces and brackets. `null`: no such process. */
function startTicks(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === "ENOENT" || code === "ESRCH";
}
