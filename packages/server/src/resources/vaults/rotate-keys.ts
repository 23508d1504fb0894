import type { Queryable } from "../../store/query.ts";
import { listTokensNotUnder, rewrapToken, type SealedToken } from "../../store/resource-tokens.ts";
import { type DataKeyRecord, listDataKeysNotUnder, rewrapDataKey } from "../../store/vault-keys.ts";
import { SecretUnreadable } from "./envelope.ts";
import { MasterKeyMissing } from "./key-wrapper.ts";
import type { ResourceTokens } from "./resource-tokens.ts";
import type { SecretBox } from "./secret-box.ts";

const BATCH = 100;

export interface Rotation {
  masterKeyId: string;
  /** Data keys that are under it now and were not before: of vaults, and of the tokens of sessions' repositories. */
  rewrapped: number;
  /** Whose data key nothing opens: they were unreadable before, and still are. */
  unreadable: string[];
}

/** Data keys of one kind. */
export interface DataKeys<K> {
  ownerOf(key: K): string;
  list(db: Queryable, masterKeyId: string, page: { after: string; limit: number }): Promise<K[]>;
  rewrap(key: K): Promise<K>;
  store(db: Queryable, before: K, after: K): Promise<boolean>;
}

export function vaultKeys(box: SecretBox): DataKeys<DataKeyRecord> {
  return {
    ownerOf: (key) => key.vaultId,
    list: (db, masterKeyId, { after, limit }) => listDataKeysNotUnder(db, masterKeyId, { afterVaultId: after, limit }),
    rewrap: (key) => box.rewrap(key),
    store: rewrapDataKey,
  };
}

export function tokenKeys(tokens: ResourceTokens): DataKeys<SealedToken> {
  return {
    ownerOf: (token) => token.resourceId,
    list: listTokensNotUnder,
    rewrap: (token) => tokens.rewrap(token),
    store: rewrapToken,
  };
}

/**
 * Puts every data key of a kind under this master key, which is the current one. Safe to repeat, to break off, and to do on
 * several servers at once.
 */
export async function rewrapAll<K>(db: Queryable, keys: DataKeys<K>, masterKeyId: string): Promise<Rotation> {
  const unreadable: string[] = [];
  let rewrapped = 0;
  let after = "";
  for (;;) {
    const batch = await keys.list(db, masterKeyId, { after, limit: BATCH });
    for (const key of batch) {
      try {
        if (await keys.store(db, key, await keys.rewrap(key))) rewrapped += 1;
      } catch (error) {
        if (!(error instanceof SecretUnreadable || error instanceof MasterKeyMissing)) throw error;
        unreadable.push(keys.ownerOf(key));
      }
    }
    const last = batch.at(-1);
    if (last === undefined) return { masterKeyId, rewrapped, unreadable };
    after = keys.ownerOf(last);
  }
}
