import { isId } from "../../api/api-path.ts";

/** What of a memory store is open, as the address has it. */
export interface MemorySearch {
  memory?: string;
}

export function memorySearch(search: Record<string, unknown>): MemorySearch {
  return typeof search.memory === "string" && isId(search.memory) ? { memory: search.memory } : {};
}
