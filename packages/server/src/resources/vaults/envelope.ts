import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";

/** AES-256-GCM (NIST SP 800-38D): a random 96-bit nonce for each encryption, a 128-bit tag. */
const ALGORITHM = "aes-256-gcm";
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** First byte of every ciphertext: what comes after it, should that ever change. */
const FORMAT = 1;

/** Something encrypted is there and cannot be read: another key, or the row was tampered with. The message has no secret. */
export class SecretUnreadable extends Error {
  readonly code = "secret_unreadable";
  constructor(message: string) {
    super(message);
    this.name = "SecretUnreadable";
  }
}

export const newKey = (): Buffer => randomBytes(KEY_BYTES);

/** 32 bytes in hex or base64; `null` when it is neither. */
export function parseKey(text: string): Buffer | null {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, "hex");
  const bytes = Buffer.from(text, "base64");
  return bytes.length === KEY_BYTES ? bytes : null;
}

/** Names a key without telling anything of it. */
export function keyIdOf(key: Buffer): string {
  return `mk_${createHash("sha256").update("sandbox0 master key id\0").update(key).digest("hex").slice(0, 16)}`;
}

/** The place a ciphertext belongs to, as additional data: it decrypts there and nowhere else. */
export function additionalData(...parts: readonly (string | number)[]): Buffer {
  return Buffer.from(JSON.stringify(["sandbox0", ...parts]));
}

/** format ‖ nonce ‖ tag ‖ ciphertext */
export function seal(key: Buffer, plain: Buffer, place: Buffer): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES }).setAAD(place);
  const body = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([Buffer.of(FORMAT), nonce, cipher.getAuthTag(), body]);
}

/** @throws SecretUnreadable; `what` names the thing in its message */
export function open(key: Buffer, sealed: Buffer, place: Buffer, what: string): Buffer {
  const head = 1 + NONCE_BYTES + TAG_BYTES;
  if (sealed.length < head || sealed[0] !== FORMAT) throw new SecretUnreadable(`${what} is not in a form that this server knows`);
  const decipher = createDecipheriv(ALGORITHM, key, sealed.subarray(1, 1 + NONCE_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(place).setAuthTag(sealed.subarray(1 + NONCE_BYTES, head));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(head)), decipher.final()]);
  } catch {
    throw new SecretUnreadable(`${what} cannot be decrypted: it was changed, moved from another place, or made with another key`);
  }
}
