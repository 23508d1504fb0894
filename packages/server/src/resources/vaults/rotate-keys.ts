import type { Queryable } from "../../store/query.ts";
import { listDataKeysNotUnder, rewrapDataKey } from "../../store/vault-keys.ts";
import { SecretUnreadable } from "./envelope.ts";
import { MasterKeyMissing } from "./key-wrapper.ts";
import type { SecretBox } from "./secret-box.ts";

const BATCH = 100;

export interface Rotation {
  masterKeyId: string;
  /** Vaults whose data key is under it now and was not before. */
  rewrapped: number;
  /** Vaults whose data key nothing opens: they were unreadable before, and still are. */
  unreadable: string[];
}

/** Puts every data key under this master key, which is the current one. Safe to repeat, to break off, and to do on several servers at once. */
export async function rewrapAll(db: Queryable, box: SecretBox, masterKeyId: string): Promise<Rotation> {
  const unreadable: string[] = [];
  let rewrapped = 0;
  let afterVaultId = "";
  for (;;) {
    const batch = await listDataKeysNotUnder(db, masterKeyId, { afterVaultId, limit: BATCH });
    for (const key of batch) {
      try {
        if (await rewrapDataKey(db, key, await box.rewrap(key))) rewrapped += 1;
      } catch (error) {
        if (!(error instanceof SecretUnreadable || error instanceof MasterKeyMissing)) throw error;
        unreadable.push(key.vaultId);
      }
    }
    const last = batch.at(-1);
    if (last === undefined) return { masterKeyId, rewrapped, unreadable };
    afterVaultId = last.vaultId;
  }
}
