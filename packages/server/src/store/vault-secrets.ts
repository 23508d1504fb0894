import type { Queryable } from "./query.ts";
import type { DataKeyRecord } from "./vault-keys.ts";

export type SecretField = "token" | "access_token" | "refresh_token" | "client_secret" | "secret_value";

/** A secret as it is stored. */
export interface SealedSecret {
  field: SecretField;
  keyVersion: number;
  ciphertext: Buffer;
}

/** Puts secrets in, over those of the same fields. */
export async function writeSecrets(
  tx: Queryable,
  owner: { credentialId: string; vaultId: string; workspaceId: string },
  secrets: readonly SealedSecret[],
): Promise<void> {
  for (const secret of secrets) {
    await tx.query(
      `insert into vault_secrets (credential_id, field, vault_id, workspace_id, key_version, ciphertext)
       values ($1, $2, $3, $4, $5, $6)
       on conflict (credential_id, field) do update set key_version = excluded.key_version, ciphertext = excluded.ciphertext`,
      [owner.credentialId, secret.field, owner.vaultId, owner.workspaceId, secret.keyVersion, secret.ciphertext],
      "write_secret",
    );
  }
}

/** An active credential's secrets with the key that opens them, in one look. */
export interface SealedCredential {
  credentialId: string;
  vaultId: string;
  secretsVersion: number;
  key: DataKeyRecord;
  secrets: SealedSecret[];
}

interface Row {
  vault_id: string;
  secrets_version: number;
  version: number;
  master_key_id: string;
  wrapped: Buffer;
  field: SecretField | null;
  key_version: number;
  ciphertext: Buffer;
}

/** `null`: archived or deleted. */
export async function readSecrets(db: Queryable, credentialId: string): Promise<SealedCredential | null> {
  const { rows } = await db.query<Row>(
    `select c.vault_id, c.secrets_version, k.version, k.master_key_id, k.wrapped, s.field, s.key_version, s.ciphertext
     from vault_credentials c join vault_data_keys k on k.vault_id = c.vault_id
     left join vault_secrets s on s.credential_id = c.id
     where c.id = $1 and c.archived_at is null`,
    [credentialId],
    "read_secrets",
  );
  const [first] = rows;
  if (!first) return null;
  const { vault_id: vaultId, version, master_key_id: masterKeyId, wrapped } = first;
  return {
    credentialId,
    vaultId,
    secretsVersion: first.secrets_version,
    key: { vaultId, version, masterKeyId, wrapped },
    secrets: rows.flatMap(({ field, key_version: keyVersion, ciphertext }) =>
      field === null ? [] : [{ field, keyVersion, ciphertext }],
    ),
  };
}
