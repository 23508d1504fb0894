import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { z } from "zod";

/** What the host remembers of a store that a session has in its sandbox, in a file beside the directory itself. */
const stateSchema = z.object({
  version: z.literal(1),
  /** Of the machine's start. */
  boot: z.string(),
  /** How far the store was read (`MemoryStoreHead.seq`). */
  seq: z.number(),
  /** By path: what the file and the store both had when they last had the same. */
  base: z.record(z.string(), z.object({ id: z.string(), sha256: z.string(), stamp: z.string().nullable() })),
  /**
   * By path: hashes of what was on its way to the store. If it has them, they are this session's own, even when a crash came
   * before that could be noted in `base`.
   */
  sent: z.record(z.string(), z.string()),
  /** By path: about which misfits the agent was told, and as they were. */
  told: z.record(z.string(), z.string()),
  /** Sentences that the next tool call's result is to carry. */
  waiting: z.array(z.string()),
});

/** A file and a memory that have the same content; `stamp` as in `LocalFile`. */
export type Agreed = z.infer<typeof stateSchema>["base"][string];

export interface SyncState {
  boot: string;
  /** The machine has been started since: what was written last may have been lost on its way to the disk. */
  isAfterReboot: boolean;
  seq: number;
  base: Map<string, Agreed>;
  sent: Map<string, string>;
  told: Map<string, string>;
  waiting: string[];
}

/** Nothing to remember is also what is left of a file that a power failure has cut: what is in both places is then compared. */
export function loadSyncState(path: string, boot: string): SyncState {
  const parsed = stateSchema.safeParse(readJson(path));
  if (!parsed.success)
    return { boot, isAfterReboot: false, seq: -1, base: new Map(), sent: new Map(), told: new Map(), waiting: [] };
  const { seq, base, sent, told, waiting } = parsed.data;
  const mapOf = <T>(record: Record<string, T>): Map<string, T> => new Map(Object.entries(record));
  const maps = { base: mapOf(base), sent: mapOf(sent), told: mapOf(told) };
  return { boot, isAfterReboot: parsed.data.boot !== boot, seq, ...maps, waiting };
}

/** Another one after each start of the machine. */
export function readBootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

/** All of it or nothing. */
export function saveSyncState(path: string, state: SyncState): void {
  const { boot, seq, base, sent, told, waiting } = state;
  const stored: z.infer<typeof stateSchema> = {
    version: 1,
    boot,
    seq,
    base: Object.fromEntries(base),
    sent: Object.fromEntries(sent),
    told: Object.fromEntries(told),
    waiting,
  };
  const draft = `${path}.draft`;
  writeFileSync(draft, JSON.stringify(stored), { mode: 0o600 });
  renameSync(draft, path);
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
