import { isDeepStrictEqual } from "node:util";
import {
  ApiError,
  CREDENTIALS_PER_VAULT_MAX,
  type Credential,
  type CredentialCreateParams,
  type CredentialUpdateParams,
  type Page,
  type VaultListQuery,
  createId,
  invalidRequest,
  mergeMetadata,
  notFound,
} from "@sandbox0/protocol";
import type { Database } from "../../store/pool.ts";
import type { Queryable } from "../../store/query.ts";
import {
  type CredentialRecord,
  archiveCredential,
  countActiveCredentials,
  deleteCredential,
  insertCredential,
  listCredentials,
  readCredential,
  updateCredential,
} from "../../store/vault-credentials.ts";
import { readDataKey } from "../../store/vault-keys.ts";
import { readSecrets, writeSecrets } from "../../store/vault-secrets.ts";
import { type NewestFirstFilter, newestFirst } from "../created-at-cursor.ts";
import { LLM_PURPOSE, type Secrets, checkInjection, mergeAuth, newAuth } from "./credential-auth.ts";
import { isLlmVault } from "./llm-vault.ts";
import type { SecretBox } from "./secret-box.ts";
import { needVault, refuseArchivedVault } from "./vaults.ts";

/** The credentials of vaults (contract §9, semantics §10). Secrets go in and never come out. */
export interface Credentials {
  /** @throws ApiError conflict_error when an active one has the same server or variable name */
  create(workspaceId: string, vaultId: string, params: CredentialCreateParams): Promise<Credential>;
  retrieve(workspaceId: string, vaultId: string, id: string): Promise<Credential>;
  update(workspaceId: string, vaultId: string, id: string, params: CredentialUpdateParams): Promise<Credential>;
  list(workspaceId: string, vaultId: string, query: VaultListQuery): Promise<Page<Credential>>;
  /** The secret is purged, and what it was for is free again. A second time changes nothing. */
  archive(workspaceId: string, vaultId: string, id: string): Promise<Credential>;
  delete(workspaceId: string, vaultId: string, id: string): Promise<{ id: string; type: "vault_credential_deleted" }>;
}

export interface CredentialsDeps {
  db: Database;
  box: SecretBox;
  now: () => Date;
}

const listOf = (vaultId: string): string => `credentials of ${vaultId}`;
const unknownCredential = (id: string): ApiError => notFound(`Credential \`${id}\` not found.`);

export function createCredentials(deps: CredentialsDeps): Credentials {
  const { db, now } = deps;
  return {
    create: async (workspaceId, vaultId, params) => credentialOf(await create(deps, workspaceId, vaultId, params)),
    retrieve: async (workspaceId, vaultId, id) => credentialOf(await needCredential(db.reads, workspaceId, vaultId, id)),
    update: async (workspaceId, vaultId, id, params) =>
      credentialOf(await db.transaction((tx) => update(deps, tx, workspaceId, vaultId, id, params))),
    async list(workspaceId, vaultId, query) {
      await needVault(db.reads, workspaceId, vaultId);
      const read = (filter: NewestFirstFilter) => listCredentials(db, workspaceId, vaultId, filter);
      return newestFirst(listOf(vaultId), query, read, credentialOf);
    },
    archive: async (workspaceId, vaultId, id) =>
      credentialOf(
        await db.transaction(async (tx) => {
          const record = await needCredential(tx, workspaceId, vaultId, id, { lock: true });
          if (record.archivedAt !== null) return record;
          const at = now();
          await archiveCredential(tx, id, at);
          return { ...record, archivedAt: at, updatedAt: at };
        }),
      ),
    async delete(workspaceId, vaultId, id) {
      if (!(await deleteCredential(db, workspaceId, vaultId, id))) throw unknownCredential(id);
      return { id, type: "vault_credential_deleted" };
    },
  };
}

/** @throws ApiError not_found_error, naming the vault when it is that which is not there */
export async function needCredential(
  db: Queryable,
  workspaceId: string,
  vaultId: string,
  id: string,
  options: { lock?: boolean } = {},
): Promise<CredentialRecord> {
  const record = await readCredential(db, workspaceId, vaultId, id, options);
  if (record) return record;
  await needVault(db, workspaceId, vaultId);
  throw unknownCredential(id);
}

/** The vault's lock makes creates and its archive wait for each other: the limit and the purge hold. */
async function create(
  deps: CredentialsDeps,
  workspaceId: string,
  vaultId: string,
  params: CredentialCreateParams,
): Promise<CredentialRecord> {
  return deps.db.transaction(async (tx) => {
    const vault = await needVault(tx, workspaceId, vaultId, { lock: true });
    refuseArchivedVault(vault);
    const parts = newAuth(params.auth, { isLlm: isLlmVault(vault.metadata) });
    const now = deps.now();
    const record: CredentialRecord = {
      id: createId("credential"),
      vaultId,
      workspaceId,
      purpose: parts.purpose,
      displayName: params.display_name ?? null,
      metadata: params.metadata ?? {},
      auth: parts.auth,
      expiresAt: parts.expiresAt,
      createdAt: now,
      updatedAt: now,
      archivedAt: null,
      secretsVersion: 1,
    };
    const active = await countActiveCredentials(tx, vaultId);
    if (!(await insertCredential(tx, record))) throw new ApiError("conflict_error", describeDuplicate(record.purpose));
    if (active >= CREDENTIALS_PER_VAULT_MAX)
      throw invalidRequest(
        `A vault has at most ${CREDENTIALS_PER_VAULT_MAX} active credentials. Archive one, or use another vault.`,
      );
    await storeSecrets(deps.box, tx, record, parts.secrets);
    return record;
  });
}

function describeDuplicate(purpose: string): string {
  if (purpose === LLM_PURPOSE) return "A credential already exists for the model provider of this vault.";
  return `A credential already exists for this ${purpose.startsWith("mcp ") ? "MCP server URL" : "secret name"}.`;
}

async function storeSecrets(box: SecretBox, tx: Queryable, record: CredentialRecord, secrets: Secrets): Promise<void> {
  const key = await readDataKey(tx, record.vaultId);
  if (!key) throw new Error(`vault ${record.vaultId} has no data key`);
  const owner = { credentialId: record.id, vaultId: record.vaultId, workspaceId: record.workspaceId };
  await writeSecrets(tx, owner, await box.seal(key, record.id, secrets));
}

async function update(
  deps: CredentialsDeps,
  tx: Queryable,
  workspaceId: string,
  vaultId: string,
  id: string,
  params: CredentialUpdateParams,
): Promise<CredentialRecord> {
  const stored = await needCredential(tx, workspaceId, vaultId, id, { lock: true });
  if (stored.archivedAt !== null) throw invalidRequest(`Credential \`${id}\` is archived and cannot be changed.`);
  const { secrets, ...auth } = params.auth ? mergeAuth(stored, params.auth) : { secrets: {} };
  const changed: CredentialRecord = {
    ...stored,
    ...auth,
    displayName: params.display_name ?? stored.displayName,
    metadata: mergeMetadata(stored.metadata, params.metadata),
  };
  const newSecrets = Object.keys(secrets).length > 0;
  if (opensHeader(stored, changed) && !newSecrets) await checkStoredSecret(deps.box, tx, changed);
  if (!newSecrets && isDeepStrictEqual(changed, stored)) return stored;
  const updated = { ...changed, updatedAt: deps.now() };
  await updateCredential(tx, updated, newSecrets);
  await storeSecrets(deps.box, tx, updated, secrets);
  return updated;
}

function opensHeader({ auth: before }: CredentialRecord, { auth: after }: CredentialRecord): boolean {
  if (before.type !== "environment_variable" || after.type !== "environment_variable") return false;
  return after.injection_location.header && !before.injection_location.header;
}

/** @throws ApiError when the secret, as it is, must not go where the credential now wants it */
async function checkStoredSecret(box: SecretBox, tx: Queryable, { id, auth }: CredentialRecord): Promise<void> {
  const sealed = await readSecrets(tx, id);
  const secret = sealed && (await box.open(sealed)).secret_value;
  if (secret && auth.type === "environment_variable") checkInjection(auth, secret);
}

function credentialOf(record: CredentialRecord): Credential {
  const { auth, expiresAt } = record;
  const shown = auth.type === "mcp_oauth" && expiresAt !== null ? { ...auth, expires_at: expiresAt.toISOString() } : auth;
  return {
    id: record.id,
    type: "vault_credential",
    vault_id: record.vaultId,
    display_name: record.displayName,
    metadata: record.metadata,
    auth: shown,
    created_at: record.createdAt.toISOString(),
    updated_at: record.updatedAt.toISOString(),
    archived_at: record.archivedAt?.toISOString() ?? null,
  };
}
