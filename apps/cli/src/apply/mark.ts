import { createHash, randomBytes, scryptSync } from "node:crypto";

/**
 * The key of the metadata in which `apply` notes what it made of which document. A resource without it was made by
 * somebody else, and is left alone.
 */
export const MARK = "sandbox0.apply";

const DIGEST_CHARS = 16;
const SALT_BYTES = 12;
/** 32 MiB and some 100 ms a guess. */
const SCRYPT = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 1024 * 1024 };
/**
 * So few that a fingerprint, which whoever has an API key can read, does not identify a secret: of 16 million guesses one
 * fits by chance. That a changed secret has the same fingerprint is as rare.
 */
const FINGERPRINT_BYTES = 3;

export type Metadata = Readonly<Record<string, string>>;

/** Of what a document says; the order of its fields does not matter. */
export function digestOf(value: unknown): string {
  return createHash("sha256").update(canonical(value)).digest("hex").slice(0, DIGEST_CHARS);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

/** Whether secrets have changed is seen by this, without their being anywhere. */
export function fingerprintOf(secrets: readonly string[], salt: string = randomBytes(SALT_BYTES).toString("base64url")): string {
  const hash = scryptSync(JSON.stringify(secrets), salt, FINGERPRINT_BYTES, SCRYPT).toString("base64url");
  return `${salt}.${hash}`;
}

export function hasFingerprint(secrets: readonly string[], fingerprint: string): boolean {
  const [salt = ""] = fingerprint.split(".");
  return fingerprintOf(secrets, salt) === fingerprint;
}

export function isMarked(metadata: Metadata | null | undefined): boolean {
  return metadata?.[MARK] !== undefined;
}

/** A patch that makes `stored` into `wanted` and the mark. */
export function metadataPatch(stored: Metadata, wanted: Metadata, mark: string): Record<string, string | null> {
  const gone = Object.keys(stored).filter((key) => !(key in wanted) && key !== MARK);
  return { ...Object.fromEntries(gone.map((key) => [key, null])), ...wanted, [MARK]: mark };
}

/** Without the mark: what the user wrote. */
export function userMetadata(metadata: Metadata): Metadata {
  const { [MARK]: _, ...rest } = metadata;
  return rest;
}
