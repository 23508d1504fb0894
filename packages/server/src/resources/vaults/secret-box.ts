import type { DataKeyRecord } from "../../store/vault-keys.ts";
import type { SealedCredential, SealedSecret, SecretField } from "../../store/vault-secrets.ts";
import type { Secrets } from "./credential-auth.ts";
import { additionalData, newKey, open, seal } from "./envelope.ts";
import type { KeyWrapper } from "./key-wrapper.ts";

const FIRST_VERSION = 1;

/** Seals and opens the secrets of credentials, each bound to its vault, credential, field and key version. */
export interface SecretBox {
  /** A data key for a new vault. */
  newDataKey(vaultId: string): Promise<DataKeyRecord>;
  /** The same data key under the master key that is current now. */
  rewrap(key: DataKeyRecord): Promise<DataKeyRecord>;
  seal(key: DataKeyRecord, credentialId: string, secrets: Secrets): Promise<SealedSecret[]>;
  /** @throws SecretUnreadable, MasterKeyMissing */
  open(sealed: SealedCredential): Promise<Secrets>;
}

const dataKeyPlace = (key: { vaultId: string; version: number }): Buffer => additionalData("data key", key.vaultId, key.version);
const secretPlace = (vaultId: string, credentialId: string, field: SecretField, version: number): Buffer =>
  additionalData("secret", vaultId, credentialId, field, version);

export function createSecretBox(keys: KeyWrapper): SecretBox {
  const unwrap = (key: DataKeyRecord): Promise<Buffer> => keys.unwrap(key, dataKeyPlace(key));
  const wrap = async (dataKey: Buffer, key: { vaultId: string; version: number }): Promise<DataKeyRecord> => ({
    vaultId: key.vaultId,
    version: key.version,
    ...(await keys.wrap(dataKey, dataKeyPlace(key))),
  });
  return {
    newDataKey: (vaultId) => wrap(newKey(), { vaultId, version: FIRST_VERSION }),
    rewrap: async (key) => wrap(await unwrap(key), key),
    async seal(key, credentialId, secrets) {
      const entries = Object.entries(secrets) as [SecretField, string][];
      if (entries.length === 0) return [];
      const dataKey = await unwrap(key);
      return entries.map(([field, text]) => ({
        field,
        keyVersion: key.version,
        ciphertext: seal(dataKey, Buffer.from(text), secretPlace(key.vaultId, credentialId, field, key.version)),
      }));
    },
    async open({ key, credentialId, secrets }) {
      if (secrets.length === 0) return {};
      const dataKey = await unwrap(key);
      const opened: Secrets = {};
      for (const { field, keyVersion, ciphertext } of secrets) {
        const place = secretPlace(key.vaultId, credentialId, field, keyVersion);
        opened[field] = open(dataKey, ciphertext, place, `the ${field} of ${credentialId}`).toString();
      }
      return opened;
    },
  };
}
