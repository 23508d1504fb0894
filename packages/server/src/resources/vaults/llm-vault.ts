import type { Metadata } from "@sandbox0/protocol";

/** An LLM vault (design §5) says in its metadata which harness and which provider its sessions use. */
const ROLE = "sandbox0.managed_agents.role";
const ENGINE = "sandbox0.managed_agents.engine";
const BASE_URL = "sandbox0.managed_agents.llm_base_url";

export const isLlmVault = (metadata: Readonly<Metadata>): boolean => metadata[ROLE] === "llm";

export function readLlmMetadata(metadata: Readonly<Metadata>): { engine: string | null; baseUrl: string | null } {
  return { engine: metadata[ENGINE] || null, baseUrl: metadata[BASE_URL] || null };
}
