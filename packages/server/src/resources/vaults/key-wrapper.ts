/** A data key under a master key. */
export interface WrappedKey {
  masterKeyId: string;
  wrapped: Buffer;
}

/**
 * Who holds the master keys: this server (`createLocalKeys`), or a key management service behind the same port. `place` says
 * what the key belongs to; unwrapping it for another place fails.
 */
export interface KeyWrapper {
  /** Under the current master key. @throws MasterKeyMissing */
  wrap(dataKey: Buffer, place: Buffer): Promise<WrappedKey>;
  /** @throws MasterKeyMissing when this master key is not had, SecretUnreadable when it does not open the key */
  unwrap(key: WrappedKey, place: Buffer): Promise<Buffer>;
  /** The id of the current master key; `null` before anything was wrapped. */
  currentId(): Promise<string | null>;
  /**
   * Makes a new master key current, `given` or a fresh one; what the others wrapped can still be unwrapped.
   * @throws ApiError invalid_request_error when the keys come from elsewhere and none, or the current one, is given
   */
  rotate(given: Buffer | undefined): Promise<string>;
  /** Takes up what changed elsewhere; called every few seconds. */
  refresh(): Promise<void>;
}

/** The secrets of this database are under a master key that this server has not got. */
export class MasterKeyMissing extends Error {
  readonly code = "master_key_missing";
  constructor(id: string, had: readonly string[], where: string) {
    super(
      `The vaults of this database are encrypted under the master key ${id}, and this server has ` +
        `${had.length === 0 ? "none" : `only ${had.join(", ")}`} (${where}). Give it the right key: see docs/vaults.md.`,
    );
    this.name = "MasterKeyMissing";
  }
}
