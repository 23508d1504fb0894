import { invalidRequest } from "@sandbox0/protocol";
import type { Database } from "../../store/pool.ts";
import {
  claimMasterKey,
  forgetHandovers,
  lockMasterKeys,
  readCurrentMasterKey,
  readHandover,
  replaceMasterKey,
} from "../../store/vault-keys.ts";
import { keyIdOf, newKey, open, additionalData, seal } from "./envelope.ts";
import { appendToKeyFile, createKeyFile, readKeyFile } from "./key-file.ts";
import { type KeyWrapper, MasterKeyMissing } from "./key-wrapper.ts";

/** How long a new master key waits in the database, under the old one, for the servers that have only that. */
export const HANDOVER_MS = 10 * 60_000;

const handoverPlace = (id: string): Buffer => additionalData("master key", id);

export interface LocalKeysOptions {
  db: Database;
  /** `SANDBOX0_MASTER_KEY`; `undefined`: the keys are in `file`, which is made when it is not there. */
  configured: Buffer | undefined;
  /** Absolute. */
  file: string;
}

/**
 * Master keys in this process: from the environment, or from a file of its own. A key is known by a fingerprint, and the
 * database says which is current.
 * @throws MasterKeyMissing when the database is under a key that is not here; KeyFileError
 */
export async function createLocalKeys(options: LocalKeysOptions): Promise<KeyWrapper> {
  const current = await readCurrentMasterKey(options.db);
  const ring = new Map<string, Buffer>();
  // A fresh file would hide that the right one is lost.
  const keys = options.configured
    ? [options.configured]
    : ((await readKeyFile(options.file)) ?? (current === null ? await createKeyFile(options.file) : []));
  for (const key of keys) ring.set(keyIdOf(key), key);
  const local = new LocalKeys(options, ring);
  if (current !== null) await local.keyOf(current);
  return local;
}

class LocalKeys implements KeyWrapper {
  private readonly options: LocalKeysOptions;
  private readonly ring: Map<string, Buffer>;

  constructor(options: LocalKeysOptions, ring: Map<string, Buffer>) {
    this.options = options;
    this.ring = ring;
  }

  async wrap(dataKey: Buffer, place: Buffer): Promise<{ masterKeyId: string; wrapped: Buffer }> {
    const masterKeyId = await this.claimedId();
    return { masterKeyId, wrapped: seal(await this.keyOf(masterKeyId), dataKey, place) };
  }

  async unwrap(key: { masterKeyId: string; wrapped: Buffer }, place: Buffer): Promise<Buffer> {
    return open(await this.keyOf(key.masterKeyId), key.wrapped, place, `a data key under the master key ${key.masterKeyId}`);
  }

  currentId(): Promise<string | null> {
    return readCurrentMasterKey(this.options.db);
  }

  /** The first key that is used here becomes the database's. */
  private async claimedId(): Promise<string> {
    const { db } = this.options;
    const current = await readCurrentMasterKey(db);
    if (current !== null) return current;
    await claimMasterKey(db, this.newestId());
    const claimed = await readCurrentMasterKey(db);
    if (claimed === null) throw new Error("there is no current master key right after one was claimed");
    return claimed;
  }

  async rotate(given: Buffer | undefined): Promise<string> {
    const { configured, db, file } = this.options;
    if (configured !== undefined && given === undefined) {
      throw invalidRequest("new_key: this server's master key comes from SANDBOX0_MASTER_KEY, so the new one must be given");
    }
    const key = given ?? newKey();
    const id = keyIdOf(key);
    await this.claimedId();
    await db.transaction(async (tx) => {
      await lockMasterKeys(tx);
      const before = await readCurrentMasterKey(tx);
      if (before === null) throw new Error("the current master key vanished while it was being replaced");
      if (before === id) throw invalidRequest("new_key: this is the current master key already");
      // On disk before anything is under it. The lock keeps other rotations off the file.
      if (configured === undefined) await appendToKeyFile(file, key);
      this.ring.set(id, key);
      const wrapped = seal(await this.keyOf(before), key, handoverPlace(id));
      await replaceMasterKey(tx, id, { wrappedBy: before, wrapped, untilMs: HANDOVER_MS });
    });
    return id;
  }

  async refresh(): Promise<void> {
    const { db } = this.options;
    const current = await readCurrentMasterKey(db);
    if (current !== null) await this.keyOf(current);
    await forgetHandovers(db);
  }

  /** @throws MasterKeyMissing */
  async keyOf(id: string): Promise<Buffer> {
    const key = this.ring.get(id) ?? (await this.takeUp(id));
    if (key !== undefined) return key;
    const { configured, file } = this.options;
    throw new MasterKeyMissing(id, [...this.ring.keys()], configured === undefined ? file : "SANDBOX0_MASTER_KEY");
  }

  /** A key that another server made: it is in the file by now, or handed over through the database. */
  private async takeUp(id: string): Promise<Buffer | undefined> {
    const { configured, db, file } = this.options;
    if (configured === undefined) for (const key of (await readKeyFile(file)) ?? []) this.ring.set(keyIdOf(key), key);
    const found = this.ring.get(id);
    if (found !== undefined) return found;
    const handover = await readHandover(db, id);
    const by = handover && this.ring.get(handover.wrappedBy);
    if (!handover || !by) return undefined;
    const key = open(by, handover.wrapped, handoverPlace(id), `the master key ${id} that another server handed over`);
    if (keyIdOf(key) !== id) return undefined;
    if (configured === undefined) await appendToKeyFile(file, key);
    this.ring.set(id, key);
    return key;
  }

  private newestId(): string {
    const newest = [...this.ring.keys()].at(-1);
    if (newest === undefined) throw new Error("a server without any master key was started");
    return newest;
  }
}
