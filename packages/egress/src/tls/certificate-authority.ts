/**
 * The authority of this installation, which its sandboxes trust: it signs for the hosts whose connections the gateway opens.
 * Its key never leaves the data directory.
 */
import { createPrivateKey, randomBytes, type webcrypto, X509Certificate } from "node:crypto";
import { link, mkdir, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { createSecureContext, type SecureContext } from "node:tls";
import type { Validity } from "./certificates.ts";

export interface CertificateAuthority {
  /** The root, for the sandboxes' bundle of trusted certificates. */
  readonly certificatePem: string;
  /** For exactly this host (name or address). Made when first asked for. */
  leafFor(host: string): Promise<Leaf>;
}

/** A certificate with its key, in PEM, and both ready for a TLS server. */
export interface Leaf {
  cert: string;
  key: string;
  context: SecureContext;
}

/** Key and certificate in one file, so that no crash leaves one without the other. */
const AUTHORITY_FILE = "egress-ca.pem";
const AUTHORITY_FILE_MODE = 0o600;
const AUTHORITY_DIR_MODE = 0o700;
const KEY_BLOCK = /-----BEGIN PRIVATE KEY-----[^-]*-----END PRIVATE KEY-----/;
const CERTIFICATE_BLOCK = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/;
const DAY_MS = 24 * 60 * 60 * 1000;
const ROOT_VALID_MS = 20 * 365 * DAY_MS;
const LEAF_VALID_MS = 7 * DAY_MS;
/** A leaf is made anew this long before it ends, so that none ends under a connection that has just begun. */
const LEAF_RENEW_BEFORE_MS = DAY_MS;
/** Clocks in sandboxes and of this host may differ a little. */
const CLOCK_SKEW_MS = 60 * 60 * 1000;
const LEAVES_MAX = 1_000;

export interface CertificateAuthorityOptions {
  /** Made when it is not there. */
  dir: string;
  now?: () => number;
  /** How many leaves are kept. */
  leavesMax?: number;
}

interface Authority {
  /** PEM that ends its line: it is put among others. */
  certificate: string;
  key: webcrypto.CryptoKey;
}

interface KeptLeaf {
  leaf: Promise<Leaf>;
  renewAtMs: number;
}

/**
 * Reads the authority of `dir`, or makes it at first use: several servers that start at once over one directory agree on
 * one. Rejects when the file is there and not an authority: to go on with another would break what sandboxes trust.
 */
export async function createCertificateAuthority(options: CertificateAuthorityOptions): Promise<CertificateAuthority> {
  const { now = Date.now, leavesMax = LEAVES_MAX } = options;
  const authority = await loadOrMake(options.dir, now());
  const kept = new Map<string, KeptLeaf>();

  const leafFor = (host: string): Promise<Leaf> => {
    const known = kept.get(host);
    const entry = known && known.renewAtMs > now() ? known : keepLeaf(authority, host, now());
    // Taken out and put in again: the map's first is the one that nobody has asked for the longest.
    kept.delete(host);
    kept.set(host, entry);
    // A failure is not kept: the next connection tries again.
    entry.leaf.catch(() => kept.get(host) === entry && kept.delete(host));
    const [oldest] = kept.keys();
    if (kept.size > leavesMax && oldest !== undefined) kept.delete(oldest);
    return entry.leaf;
  };
  return { certificatePem: authority.certificate, leafFor };
}

/** What a start over this directory would find; makes nothing. Rejects when a start would. @returns `false`: it would make one */
export async function hasCertificateAuthority(dir: string): Promise<boolean> {
  const path = join(dir, AUTHORITY_FILE);
  const found = await readIfThere(path);
  if (found === null) return false;
  await parseAuthority(found, path);
  return true;
}

async function loadOrMake(dir: string, nowMs: number): Promise<Authority> {
  const path = join(dir, AUTHORITY_FILE);
  const found = await readIfThere(path);
  if (found !== null) return parseAuthority(found, path);
  await mkdir(dir, { recursive: true, mode: AUTHORITY_DIR_MODE });
  const { makeAuthority } = await import("./certificates.ts");
  const { key, certificate } = await makeAuthority(validity(nowMs, ROOT_VALID_MS));
  await publish(path, `${key}${certificate}`);
  // Whoever came first: what is in the file counts, also for the server that made another.
  return parseAuthority(await readFile(path, "utf8"), path);
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** Writes the whole text or nothing, and leaves a file that is already there as it is. */
async function publish(path: string, text: string): Promise<void> {
  const draft = `${path}.${randomBytes(8).toString("hex")}`;
  const file = await open(draft, "wx", AUTHORITY_FILE_MODE);
  try {
    await file.writeFile(text);
    await file.sync();
    await link(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await file.close();
    await rm(draft, { force: true });
  }
}

async function parseAuthority(text: string, path: string): Promise<Authority> {
  const key = KEY_BLOCK.exec(text)?.[0];
  const certificate = CERTIFICATE_BLOCK.exec(text)?.[0];
  // The file holds a key: the error says which file, never what is in it.
  const broken = () => new Error(`${path} is not a certificate authority of the egress gateway`);
  if (key === undefined || certificate === undefined) throw broken();
  try {
    const root = new X509Certificate(certificate);
    const privateKey = createPrivateKey(key);
    if (!root.ca || !root.checkPrivateKey(privateKey)) throw broken();
    const signing = privateKey.toCryptoKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
    return { certificate: `${certificate}\n`, key: signing };
  } catch {
    throw broken();
  }
}

function keepLeaf(authority: Authority, host: string, nowMs: number): KeptLeaf {
  return { leaf: makeLeaf(authority, host, nowMs), renewAtMs: nowMs + LEAF_VALID_MS - LEAF_RENEW_BEFORE_MS };
}

async function makeLeaf(authority: Authority, host: string, nowMs: number): Promise<Leaf> {
  const certificates = await import("./certificates.ts");
  const { key, certificate } = await certificates.makeLeaf(authority, host, validity(nowMs, LEAF_VALID_MS));
  const pem = { key, cert: certificate };
  return { ...pem, context: createSecureContext({ ...pem, minVersion: "TLSv1.2" }) };
}

function validity(nowMs: number, validMs: number): Validity {
  return { notBefore: new Date(nowMs - CLOCK_SKEW_MS), notAfter: new Date(nowMs + validMs) };
}
