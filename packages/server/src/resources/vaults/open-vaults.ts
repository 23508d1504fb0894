import type { Fetch } from "./token-request.ts";
import type { CredentialValidation } from "@sandbox0/protocol";
import { listExpiring } from "../../store/credential-refresh.ts";
import type { Database } from "../../store/pool.ts";
import { repeat } from "../repeat.ts";
import { type Credentials, createCredentials } from "./credentials.ts";
import type { KeyWrapper } from "./key-wrapper.ts";
import { createOAuthRefresh, type OAuthRefresh } from "./oauth-refresh.ts";
import { readSecrets } from "../../store/vault-secrets.ts";
import { createResourceTokens, type ResourceTokens } from "./resource-tokens.ts";
import { type Rotation, rewrapAll, tokenKeys, vaultKeys } from "./rotate-keys.ts";
import { createSecretBox, type SecretBox } from "./secret-box.ts";
import { validateCredential } from "./validate-credential.ts";
import { createVaultSecrets } from "./create-vault-secrets.ts";
import type { VaultSecrets } from "./vault-secrets.ts";
import { type Vaults, createVaults } from "./vaults.ts";

/** How often a server looks for a master key that another one made. */
export const KEY_LOOK_MS = 5_000;
/** How often expiring OAuth tokens are looked for, how long before their end they are refreshed, and how many at a time. */
const TOKEN_LOOK_MS = 30_000;
const REFRESH_AHEAD_MS = 120_000;
const REFRESH_RETRY_MS = 10 * 60_000;
const REFRESHES_MAX = 20;

/** All that the API does with vaults, but for the secrets, which are not the API's. */
export interface VaultApi {
  vaults: Vaults;
  credentials: Credentials & {
    /** @throws ApiError */
    validate(workspaceId: string, vaultId: string, id: string): Promise<CredentialValidation>;
  };
  /** A new master key, `given` or a fresh one, and every data key under it; goes on serving meanwhile. @throws ApiError */
  rotateKey(given: Buffer | undefined): Promise<Rotation>;
}

export interface OpenVaults {
  api: VaultApi;
  secrets: VaultSecrets;
  tokens: ResourceTokens;
  /** One round of each: for tests, and what the timers do. */
  upkeep: { keys(): Promise<void>; tokens(): Promise<void> };
  /** Resolves when nothing is under way that must be stored. */
  close(): Promise<void>;
}

export interface VaultsDeps {
  db: Database;
  keys: KeyWrapper;
  /** For token endpoints and probes: guarded, only to where this server may go. */
  fetch: Fetch;
  /** Trouble of the upkeep, which goes on. Nothing secret is in it. */
  onProblem(error: unknown): void;
  now?: () => Date;
  tokenTimeoutMs?: number;
  probeTimeoutMs?: number;
}

/** Vaults, and resources with a token, whose data key nothing opens any more. Said once: only the key that was lost can help. */
export class VaultsUnreadable extends Error {
  readonly vaultIds: readonly string[];
  constructor(vaultIds: readonly string[]) {
    super(`No key that this server has opens ${vaultIds.join(", ")}: their secrets cannot be read, nor put under the new key.`);
    this.name = "VaultsUnreadable";
    this.vaultIds = vaultIds;
  }
}

/** Vaults with their upkeep: keys that other servers rotated, and OAuth tokens that are about to end. */
export function openVaults(deps: VaultsDeps): OpenVaults {
  const { db, keys, fetch } = deps;
  const now = deps.now ?? (() => new Date());
  const box = createSecretBox(keys);
  const tokens = createResourceTokens({ db: db.reads, keys });
  const { tokenTimeoutMs, probeTimeoutMs } = deps;
  const oauth = createOAuthRefresh({ db, box, fetch, ...(tokenTimeoutMs === undefined ? {} : { tokenTimeoutMs }) });
  const validation = { db, box, oauth, fetch, now, ...(probeTimeoutMs === undefined ? {} : { probeTimeoutMs }) };
  const rewrap = createRewrap(db, { box, tokens }, deps.onProblem);
  const upkeep = {
    async keys() {
      await keys.refresh();
      const current = await keys.currentId();
      // What another server wrapped while a rotation went on, or all that was left when one was broken off.
      if (current !== null) await rewrap(current);
    },
    tokens: () => refreshExpiring(db, box, oauth, deps.onProblem),
  };
  const rounds = [repeat(upkeep.keys, KEY_LOOK_MS, deps.onProblem), repeat(upkeep.tokens, TOKEN_LOOK_MS, deps.onProblem)];
  return {
    api: {
      vaults: createVaults({ db, box, now }),
      credentials: {
        ...createCredentials({ db, box, now }),
        validate: (workspaceId, vaultId, id) => validateCredential(validation, workspaceId, vaultId, id),
      },
      async rotateKey(given) {
        return rewrap(await keys.rotate(given));
      },
    },
    secrets: createVaultSecrets({ db, box, oauth, now }),
    tokens,
    upkeep,
    close: async () => {
      await Promise.all(rounds.map((round) => round.stop()));
      await oauth.settle();
    },
  };
}

/** Puts all under a key, and tells of each owner of one for which that does not work, once. */
function createRewrap(
  db: Database,
  { box, tokens }: { box: SecretBox; tokens: ResourceTokens },
  onProblem: (error: unknown) => void,
): (masterKeyId: string) => Promise<Rotation> {
  const told = new Set<string>();
  return async (masterKeyId) => {
    const ofVaults = await rewrapAll(db, vaultKeys(box), masterKeyId);
    const ofTokens = await rewrapAll(db, tokenKeys(tokens), masterKeyId);
    const rotation = {
      masterKeyId,
      rewrapped: ofVaults.rewrapped + ofTokens.rewrapped,
      unreadable: [...ofVaults.unreadable, ...ofTokens.unreadable],
    };
    const untold = rotation.unreadable.filter((id) => !told.has(id));
    for (const id of untold) told.add(id);
    if (untold.length > 0) onProblem(new VaultsUnreadable(untold));
    return rotation;
  };
}

async function refreshExpiring(
  db: Database,
  box: SecretBox,
  oauth: OAuthRefresh,
  onProblem: (error: unknown) => void,
): Promise<void> {
  const ids = await listExpiring(db, { aheadMs: REFRESH_AHEAD_MS, retryMs: REFRESH_RETRY_MS, limit: REFRESHES_MAX });
  const refresh = async (id: string): Promise<void> => {
    const sealed = await readSecrets(db, id);
    const token = sealed && (await box.open(sealed)).access_token;
    if (token) await oauth.refresh(id, token, { again: true });
  };
  // Each by itself: one that hangs until its time is over, or cannot be read, must not hold the others up.
  await Promise.all(ids.map((id) => refresh(id).catch(onProblem)));
}
