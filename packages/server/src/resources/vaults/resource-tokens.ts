import type { Queryable } from "../../store/query.ts";
import { type SealedToken, readResourceToken } from "../../store/resource-tokens.ts";
import { additionalData, newKey, open, seal } from "./envelope.ts";
import type { KeyWrapper, WrappedKey } from "./key-wrapper.ts";

/** Tokens of sessions' repositories: they go in by the API and out to the git gateway only, never to a client or a sandbox. */
export interface ResourceTokens {
  /** To be stored with `writeResourceToken`. @throws MasterKeyMissing */
  seal(resourceId: string, token: string): Promise<SealedToken>;
  /**
   * The token as it is now; `null`: the resource is gone, or was given none.
   * @throws SecretUnreadable, MasterKeyMissing
   */
  open(resourceId: string): Promise<string | null>;
  /** The same token for another resource. @throws as `open` */
  reseal(token: SealedToken, resourceId: string): Promise<SealedToken>;
  /** The same token with its data key under the master key that is current now. */
  rewrap(token: SealedToken): Promise<SealedToken>;
}

const keyPlace = (resourceId: string): Buffer => additionalData("resource token key", resourceId);
const tokenPlace = (resourceId: string): Buffer => additionalData("resource token", resourceId);

export function createResourceTokens({ db, keys }: { db: Queryable; keys: KeyWrapper }): ResourceTokens {
  const wrap = (dataKey: Buffer, resourceId: string): Promise<WrappedKey> => keys.wrap(dataKey, keyPlace(resourceId));
  const unwrap = (token: SealedToken): Promise<Buffer> => keys.unwrap(token, keyPlace(token.resourceId));
  const sealFor = async (resourceId: string, token: string): Promise<SealedToken> => {
    const dataKey = newKey();
    const { masterKeyId, wrapped } = await wrap(dataKey, resourceId);
    return { resourceId, masterKeyId, wrapped, ciphertext: seal(dataKey, Buffer.from(token), tokenPlace(resourceId)) };
  };
  const opened = async (token: SealedToken): Promise<string> => {
    const { resourceId, ciphertext } = token;
    return open(await unwrap(token), ciphertext, tokenPlace(resourceId), `the token of ${resourceId}`).toString();
  };
  return {
    seal: sealFor,
    async open(resourceId) {
      const sealed = await readResourceToken(db, resourceId);
      return sealed && opened(sealed);
    },
    reseal: async (token, resourceId) => sealFor(resourceId, await opened(token)),
    async rewrap(token) {
      const { masterKeyId, wrapped } = await wrap(await unwrap(token), token.resourceId);
      return { ...token, masterKeyId, wrapped };
    },
  };
}
