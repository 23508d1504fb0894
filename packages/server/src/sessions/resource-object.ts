import type { SessionResource } from "@sandbox0/protocol";
import type { ResourceRecord } from "../store/session-resources.ts";

/** As the API shows it: memory stores have neither id nor times (contract §6.1). */
export function resourceObject({ id, config, createdAt, updatedAt }: ResourceRecord): SessionResource {
  if (config.type === "memory_store") return config;
  return { id, ...config, created_at: createdAt.toISOString(), updated_at: updatedAt.toISOString() };
}
