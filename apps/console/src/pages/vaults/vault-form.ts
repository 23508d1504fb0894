import type { VaultCreateParams } from "@sandbox0/protocol";
import { metadataOf } from "../../resources/metadata.ts";

/** What makes a vault the key of a model provider (docs/vaults.md). */
export const ROLE_KEY = "sandbox0.managed_agents.role";
export const LLM_ROLE = "llm";
const BASE_URL_KEY = "sandbox0.managed_agents.llm_base_url";
const ENGINE_KEY = "sandbox0.managed_agents.engine";

export interface VaultForm {
  displayName: string;
  /** An LLM vault: its bearer token without a server is the provider's key. */
  llm: boolean;
  baseUrl: string;
  engine: string;
}

export function vaultCreateParams({ displayName, llm, baseUrl, engine }: VaultForm): VaultCreateParams {
  const metadata = llm
    ? metadataOf([], { [ROLE_KEY]: LLM_ROLE, [BASE_URL_KEY]: baseUrl.trim(), [ENGINE_KEY]: engine })
    : undefined;
  return { display_name: displayName.trim(), ...(metadata && { metadata }) };
}
