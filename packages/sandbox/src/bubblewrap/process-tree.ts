import { readdirSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { setTimeout as delay } from "node:timers/promises";

const END_LOOK_MS = 5;
const END_LOOKS_MAX = 2000;

/** A process below another one, as the host sees it. */
export interface TreeProcess {
  pid: number;
  /** Its number in its own pid namespace: 1 for the sandbox's reaper. */
  innerPid: number;
}

/** Every process below `root`, parents first, without `root` itself. A process that ends meanwhile is left out. */
export function descendants(root: number): TreeProcess[] {
  const found: TreeProcess[] = [];
  const queue = [root];
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    for (const child of childrenOf(pid)) {
      const innerPid = innerPidOf(child);
      if (innerPid === null) continue;
      found.push({ pid: child, innerPid });
      queue.push(child);
    }
  }
  return found;
}

/** Sends a signal to a process that may be gone already. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Resolves when none of them runs any more; one that its new parent has not yet reaped does not. */
export async function waitUntilEnded(pids: readonly number[]): Promise<void> {
  for (let look = 0; pids.some(isRunning); look++) {
    if (look >= END_LOOKS_MAX) throw new Error(`killed processes are still there: ${pids.filter(isRunning).join(", ")}`);
    await delay(END_LOOK_MS);
  }
}

function isRunning(pid: number): boolean {
  return !"ZX".includes(stateOf(pid));
}

/**
 * By a signal or a debugger, or for good: all its threads, of which the first may have ended before the others. What waits in
 * the kernel (for a disk, for the child that it has lent its memory to) stops when that is over, if it was told to.
 */
export function isStopped(pid: number): boolean {
  const tasks = unlessGone(() => readdirSync(`/proc/${pid}/task`)) ?? [];
  const states = tasks.map((task) => stateOf(`${pid}/task/${task}`));
  return states.every((state) => "TtZX".includes(state)) || (states.every((state) => "DTtZX".includes(state)) && willStop(pid));
}

function willStop(pid: number): boolean {
  const status = unlessGone(() => readFileSync(`/proc/${pid}/status`, "utf8")) ?? "";
  const pending = BigInt(`0x${/^ShdPnd:\t([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  return (pending & (1n << BigInt(constants.signals.SIGSTOP - 1))) !== 0n;
}

/** As `proc(5)` writes it; of one that is gone, that of the dead. */
function stateOf(task: number | string): string {
  const stat = unlessGone(() => readFileSync(`/proc/${task}/stat`, "utf8")) ?? ") X";
  return stat.charAt(stat.lastIndexOf(")") + 2);
}

function childrenOf(pid: number): number[] {
  const tasks = unlessGone(() => readdirSync(`/proc/${pid}/task`)) ?? [];
  return tasks.flatMap((task) => {
    const text = unlessGone(() => readFileSync(`/proc/${pid}/task/${task}/children`, "utf8")) ?? "";
    return text
      .split(" ")
      .filter((part) => part !== "")
      .map(Number);
  });
}

function innerPidOf(pid: number): number | null {
  const status = unlessGone(() => readFileSync(`/proc/${pid}/status`, "utf8"));
  const numbers = /^NSpid:\t(.*)$/m.exec(status ?? "")?.[1]?.split("\t");
  return numbers === undefined ? null : Number(numbers.at(-1));
}

function unlessGone<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ESRCH") return null;
    throw error;
  }
}
