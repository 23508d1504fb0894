import type { Queryable } from "../../store/query.ts";
import { listResourcesOfType } from "../../store/session-resources.ts";
import type { MemoryAttachment } from "./memory-mount.ts";

/** The memory stores of a session, in the order in which it was given them; also those that are gone since. */
export async function readAttachments(db: Queryable, sessionId: string): Promise<MemoryAttachment[]> {
  const resources = await listResourcesOfType(db, sessionId, "memory_store");
  return resources.map(({ config }) => ({
    storeId: config.memory_store_id,
    access: config.access ?? "read_write",
    name: config.name ?? "",
    description: config.description ?? "",
    instructions: config.instructions ?? null,
    mountPath: config.mount_path,
  }));
}
