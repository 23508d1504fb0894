import { invalidRequest } from "@sandbox0/protocol";
import type { Queryable } from "../../store/query.ts";
import { readVaults } from "../../store/vaults.ts";

/**
 * The vaults of a new session are there, of its workspace, and not archived (semantics §4.1). What is in them is not looked
 * at: an invalid credential shows when it is used.
 * @throws ApiError invalid_request_error that names the vault
 */
export async function checkSessionVaults(db: Queryable, workspaceId: string, vaultIds: readonly string[]): Promise<void> {
  if (vaultIds.length === 0) return;
  const vaults = new Map((await readVaults(db, workspaceId, vaultIds)).map((vault) => [vault.id, vault]));
  vaultIds.forEach((id, index) => {
    const vault = vaults.get(id);
    if (!vault) throw invalidRequest(`vault_ids[${index}]: Vault \`${id}\` not found.`);
    if (vault.archivedAt !== null) throw invalidRequest(`vault_ids[${index}]: Vault \`${id}\` is archived.`);
  });
}
