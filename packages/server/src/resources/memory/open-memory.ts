import type { Database } from "../../store/pool.ts";
import { repeat } from "../repeat.ts";
import { type Memories, createMemories } from "./memories.ts";
import { type MemoryStores, createMemoryStores } from "./memory-stores.ts";
import { type MemoryVersions, createMemoryVersions } from "./memory-versions.ts";

/** How often versions are looked for that are kept no longer. */
const PURGE_INTERVAL_MS = 60 * 60_000;

export interface MemoryApi {
  stores: MemoryStores;
  memories: Memories;
  versions: MemoryVersions;
}

export interface OpenMemory {
  api: MemoryApi;
  /** Resolves when nothing is under way. */
  close(): Promise<void>;
}

/** Memory stores with their upkeep. `onProblem` is told of trouble of the upkeep, which goes on. */
export function openMemory(deps: { db: Database; onProblem(error: unknown): void; now?: () => Date }): OpenMemory {
  const parts = { db: deps.db, now: deps.now ?? (() => new Date()) };
  const versions = createMemoryVersions(parts);
  const upkeep = repeat(() => versions.purge(), PURGE_INTERVAL_MS, deps.onProblem);
  return {
    api: { stores: createMemoryStores(parts), memories: createMemories(parts), versions },
    close: () => upkeep.stop(),
  };
}
