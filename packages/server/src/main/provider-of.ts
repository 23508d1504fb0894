import type { ProviderConfig } from "@sandbox0/harness";
import type { VaultSecrets } from "../resources/vaults/vault-secrets.ts";
import { type Models, ModelUnavailable } from "./models.ts";

/** Whose model it is: the vaults decide before the server's own configuration. */
export interface ModelUser {
  workspaceId: string;
  vaultIds: readonly string[];
  harness: string;
}

export type ProviderOf = (modelId: string, user: ModelUser) => Promise<ProviderConfig | { unavailable: string }>;

/**
 * Finds the provider of a session's model: of its first LLM vault (design §5), else the server's.
 * @param apisOf what a harness speaks
 */
export function createProviderOf(
  models: Models,
  vaults: Pick<VaultSecrets, "llmOf" | "secretOf">,
  apisOf: (harness: string) => readonly ProviderConfig["api"][],
): ProviderOf {
  return async (modelId, { workspaceId, vaultIds, harness }) => {
    const llm = await vaults.llmOf(workspaceId, vaultIds);
    const apiKey = llm === null || llm.credentialId === null ? null : await vaults.secretOf(llm.credentialId);
    try {
      return llm === null
        ? models.resolve(modelId)
        : models.resolveFor(modelId, { baseUrl: llm.baseUrl, apiKey }, apisOf(harness));
    } catch (error) {
      if (error instanceof ModelUnavailable) return { unavailable: error.message };
      throw error;
    }
  };
}
