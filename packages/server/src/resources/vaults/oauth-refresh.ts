import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { CapturedResponse } from "@sandbox0/protocol";
import { endRefresh, failRefresh, readRefreshState, takeRefreshLease } from "../../store/credential-refresh.ts";
import { DatabaseUnavailable } from "../../store/database-error.ts";
import type { Database } from "../../store/pool.ts";
import { type CredentialRecord, readCredentialById } from "../../store/vault-credentials.ts";
import { type SealedCredential, readSecrets, writeSecrets } from "../../store/vault-secrets.ts";
import type { Secrets } from "./credential-auth.ts";
import type { SecretBox } from "./secret-box.ts";
import { type Fetch, type RefreshConfig, type TokenAnswer, requestToken, TOKEN_TIMEOUT_MS } from "./token-request.ts";
import type { Refresh } from "./vault-secrets.ts";

/** Longer than a token request may take: its holder is dead when this is over. */
const LEASE_MS = TOKEN_TIMEOUT_MS + 10_000;
/** How often one that waits for another server's refresh looks. */
const WAIT_POLL_MS = 100;
const WAIT_MS_MAX = LEASE_MS + TOKEN_TIMEOUT_MS;
/** A refusal is believed for as long: calls that all got a 401 do not all ask again. */
const FAILURE_LIFE_MS = 30_000;

/** How long new tokens wait for a database that is away, and how often they try. */
const STORE_MS_MAX = 60_000;
const STORE_RETRY_MS = 250;

export type DetailedRefresh = Refresh & { response?: CapturedResponse };

export interface OAuthRefresh {
  /** See `VaultSecrets.refreshMcp`. `again`: ask the token endpoint even though it has just refused. */
  refresh(credentialId: string, staleToken: string, options?: { again?: boolean }): Promise<DetailedRefresh>;
  /** Resolves when what token endpoints were asked for is stored: they may have made the old refresh token void. */
  settle(): Promise<void>;
}

export interface OAuthRefreshDeps {
  db: Database;
  box: SecretBox;
  /** Guarded: only to where this server may go. */
  fetch: Fetch;
  tokenTimeoutMs?: number;
}

/**
 * One refresh at a time for a credential across all servers: who takes the lease, a row, asks the token endpoint without
 * holding a connection; the others wait for what it stores. The new tokens are stored in one transaction with the end of the
 * lease: a client's update, or an archive, meanwhile wins.
 */
export function createOAuthRefresh(deps: OAuthRefreshDeps): OAuthRefresh {
  const asking: Asking = new Set();
  return {
    refresh: (credentialId, staleToken, options = {}) => refresh(deps, asking, credentialId, staleToken, options.again ?? false),
    settle: async () => void (await Promise.allSettled(asking)),
  };
}

/** Refreshes that this server has the lease of, whoever waits for them. */
type Asking = Set<Promise<unknown>>;

async function refresh(
  deps: OAuthRefreshDeps,
  asking: Asking,
  credentialId: string,
  staleToken: string,
  again: boolean,
): Promise<DetailedRefresh> {
  const started = performance.now();
  while (performance.now() - started < WAIT_MS_MAX) {
    const sealed = await readSecrets(deps.db, credentialId);
    if (!sealed) return { status: "gone" };
    const secrets = await deps.box.open(sealed);
    if (secrets.access_token !== undefined && secrets.access_token !== staleToken)
      return { status: "succeeded", token: secrets.access_token };
    if (secrets.refresh_token === undefined) return { status: "no_refresh_token" };
    const state = await readRefreshState(deps.db, credentialId);
    if (!state) return { status: "gone" };
    const sinceMs = again ? performance.now() - started : FAILURE_LIFE_MS;
    if (state.error !== null && state.failedMsAgo !== null && state.failedMsAgo < sinceMs)
      return state.error === "failed" ? { status: "failed", httpStatus: null } : { status: "connect_error" };
    const lease = { id: randomUUID(), leaseMs: LEASE_MS, secretsVersion: sealed.secretsVersion };
    if (!state.leased && (await takeRefreshLease(deps.db, credentialId, lease))) {
      const work = refreshAlone(deps, sealed, secrets, lease.id);
      asking.add(work);
      const done = await work.finally(() => asking.delete(work));
      if (done !== "overtaken") return done;
    } else {
      await delay(WAIT_POLL_MS);
    }
  }
  return { status: "connect_error" };
}

/** @returns `overtaken` when somebody else changed the secrets meanwhile: what is stored counts */
async function refreshAlone(
  deps: OAuthRefreshDeps,
  sealed: SealedCredential,
  secrets: Secrets,
  leaseId: string,
): Promise<DetailedRefresh | "overtaken"> {
  const { credentialId } = sealed;
  const record = await readCredentialById(deps.db, credentialId);
  const config = record && refreshConfigOf(record);
  if (!record || !config) {
    await failRefresh(deps.db, credentialId, leaseId, "failed");
    return { status: record ? "no_refresh_token" : "gone" };
  }
  const answer = await requestToken(deps.fetch, config, secrets, deps.tokenTimeoutMs);
  if (answer.status === "succeeded")
    return (await store(deps, record, sealed, answer, leaseId))
      ? { status: "succeeded", token: answer.accessToken }
      : "overtaken";
  await failRefresh(deps.db, credentialId, leaseId, answer.status);
  if (answer.status === "connect_error") return answer;
  return { status: "failed", httpStatus: answer.response.status_code, response: answer.response };
}

async function store(
  deps: OAuthRefreshDeps,
  record: CredentialRecord,
  sealed: SealedCredential,
  answer: Extract<TokenAnswer, { status: "succeeded" }>,
  leaseId: string,
): Promise<boolean> {
  const secrets: Secrets = {
    access_token: answer.accessToken,
    ...(answer.refreshToken === null ? {} : { refresh_token: answer.refreshToken }),
  };
  const expiresAt = answer.expiresInSeconds === null ? null : new Date(Date.now() + answer.expiresInSeconds * 1000);
  const sealedSecrets = await deps.box.seal(sealed.key, record.id, secrets);
  const owner = { credentialId: record.id, vaultId: record.vaultId, workspaceId: record.workspaceId };
  return whileDatabaseIsAway(() =>
    deps.db.transaction(async (tx) => {
      if (!(await endRefresh(tx, record.id, leaseId, expiresAt))) return false;
      await writeSecrets(tx, owner, sealedSecrets);
      return true;
    }),
  );
}

/**
 * The endpoint may have made the old refresh token void: what it gave must not be lost to a moment without a database. A
 * commit of unknown outcome that did happen makes the second try lose its lease, and what is stored is read.
 */
async function whileDatabaseIsAway(write: () => Promise<boolean>): Promise<boolean> {
  const started = performance.now();
  for (;;) {
    try {
      return await write();
    } catch (error) {
      if (!(error instanceof DatabaseUnavailable) || performance.now() - started > STORE_MS_MAX) throw error;
      await delay(STORE_RETRY_MS);
    }
  }
}

export function refreshConfigOf({ auth }: CredentialRecord): RefreshConfig | null {
  return auth.type === "mcp_oauth" ? (auth.refresh ?? null) : null;
}
