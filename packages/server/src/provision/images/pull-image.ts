import { ImageUnavailable } from "../packages/build-image.ts";
import { type Manifest, RegistryClient, type RegistryOptions } from "./registry-client.ts";

const GIB = 1024 ** 3;
/** Of all layers, as the registry has them. */
const PULL_BYTES_MAX = 4 * GIB;
const LAYERS_MAX = 128;
const INDEX_DEPTH_MAX = 3;
/** Of each of its two words, in a complaint. */
const PLATFORM_CHARS_MAX = 32;
const TAR_BLOCK_BYTES = 512;
/** Mode, owner, group and time: where, what, and in how many octal digits. */
const TAR_NUMBERS = [
  [100, 0o644, 7],
  [108, 0, 7],
  [116, 0, 7],
  [136, 0, 11],
] as const;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

export interface PullOptions extends RegistryOptions {
  /** In Go's words. */
  architecture: string;
  signal: AbortSignal;
  onProgress(line: string): void;
}

interface Descriptor {
  digest: string;
  size: number;
}

/**
 * Pulls an image from a registry.
 * @param reference a tag or a digest
 * @returns the image for this platform as an archive in the OCI layout; who unpacks it checks the digest of everything in it
 * @throws ImageUnavailable, also while it is read
 */
export async function pullImage(
  { registry, repository, reference }: { registry: string; repository: string; reference: string },
  options: PullOptions,
): Promise<AsyncIterable<Uint8Array>> {
  const { signal, onProgress } = options;
  const client = new RegistryClient(options, registry, repository, signal);
  onProgress(`pulling ${registry}/${repository} ${reference}`);
  const manifest = await manifestFor(client, reference, options.architecture);
  const { config, layers } = partsOf(manifest);
  const blobs = [...new Map([config, ...layers].map((blob) => [blob.digest, blob])).values()];
  const bytes = blobs.reduce((sum, { size }) => sum + size, 0);
  if (layers.length > LAYERS_MAX) throw new ImageUnavailable(`it has more than ${LAYERS_MAX} layers`);
  if (bytes > PULL_BYTES_MAX) throw new ImageUnavailable(`it has ${bytes} bytes, and no more than ${PULL_BYTES_MAX} are pulled`);
  onProgress(`${manifest.digest}: ${layers.length} layers, ${bytes} bytes`);
  return layout(client, manifest, blobs);
}

async function manifestFor(client: RegistryClient, reference: string, architecture: string): Promise<Manifest> {
  let found = await client.manifest(reference);
  for (let depth = 0; isIndex(found); depth++) {
    if (depth === INDEX_DEPTH_MAX) throw new ImageUnavailable("its indexes do not end");
    found = await client.manifest(imageIn(found, architecture));
  }
  return found;
}

function isIndex({ content }: Manifest): boolean {
  return Array.isArray(fieldsOf(content)["manifests"]);
}

/** @returns the digest of the one for this platform */
function imageIn({ content }: Manifest, architecture: string): string {
  const { manifests } = fieldsOf(content) as { manifests: readonly unknown[] };
  const listed = manifests.filter((each) => typeof each === "object" && each !== null) as readonly {
    digest?: unknown;
    platform?: { os?: unknown; architecture?: unknown };
  }[];
  const found = listed.find(({ platform }) => platform?.os === "linux" && platform.architecture === architecture);
  if (typeof found?.digest === "string" && DIGEST.test(found.digest)) return found.digest;
  const others = listed.map(({ platform }) => `${wordOf(platform?.os)}/${wordOf(platform?.architecture)}`);
  throw new ImageUnavailable(
    `it has no image for linux/${architecture}, but for ${[...new Set(others)].slice(0, 20).join(", ")}`,
  );
}

const wordOf = (value: unknown): string => (typeof value === "string" ? value.slice(0, PLATFORM_CHARS_MAX) : "?");

function partsOf({ content }: Manifest): { config: Descriptor; layers: readonly Descriptor[] } {
  const { config, layers } = fieldsOf(content);
  if (!Array.isArray(layers)) throw new ImageUnavailable("its manifest has no layers: only images of schema 2 are known");
  return { config: descriptorOf(config), layers: layers.map(descriptorOf) };
}

function descriptorOf(value: unknown): Descriptor {
  const { digest, size } = (typeof value === "object" && value !== null ? value : {}) as { digest?: unknown; size?: unknown };
  if (typeof digest !== "string" || !DIGEST.test(digest) || !Number.isSafeInteger(size) || Number(size) < 0) {
    throw new ImageUnavailable("its manifest names something without a SHA-256 digest and a size");
  }
  return { digest, size: Number(size) };
}

function fieldsOf(content: Buffer): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(content.toString("utf8"));
    if (typeof value === "object" && value !== null) return value as Readonly<Record<string, unknown>>;
  } catch {
    // Said below.
  }
  throw new ImageUnavailable("its manifest is no JSON");
}

async function* layout(client: RegistryClient, manifest: Manifest, blobs: readonly Descriptor[]): AsyncGenerator<Uint8Array> {
  const { digest, content, mediaType } = manifest;
  const index = { schemaVersion: 2, manifests: [{ mediaType, digest, size: content.length }] };
  yield* small("oci-layout", Buffer.from(JSON.stringify({ imageLayoutVersion: "1.0.0" })));
  yield* small("index.json", Buffer.from(JSON.stringify(index)));
  yield* small(blobName(digest), content);
  for (const blob of blobs) {
    yield tarHeader(blobName(blob.digest), blob.size);
    yield* ofSize(client.blob(blob.digest), blob);
    yield padding(blob.size);
  }
  yield Buffer.alloc(2 * TAR_BLOCK_BYTES);
}

function* small(name: string, content: Buffer): Generator<Uint8Array> {
  yield* [tarHeader(name, content.length), content, padding(content.length)];
}

/** Of a file (POSIX.1-1988, ustar). By hand: a generator ends with who reads it, and what it reads from ends with it. */
function tarHeader(name: string, size: number): Buffer {
  const header = Buffer.alloc(TAR_BLOCK_BYTES);
  const put = (text: string, at: number): number => header.write(text, at, "latin1");
  put(name, 0);
  for (const [at, value, digits] of TAR_NUMBERS) put(value.toString(8).padStart(digits, "0"), at);
  put(size.toString(8).padStart(11, "0"), 124);
  put("        0", 148);
  put("ustar\0" + "00", 257);
  put(
    `${header
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, "0")}\0 `,
    148,
  );
  return header;
}

const padding = (size: number): Buffer => Buffer.alloc((TAR_BLOCK_BYTES - (size % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES);

async function* ofSize(content: AsyncIterable<Uint8Array>, { digest, size }: Descriptor): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of content) {
    bytes += chunk.length;
    if (bytes > size) break;
    yield chunk;
  }
  if (bytes !== size) throw new ImageUnavailable(`${digest} has not the ${size} bytes that its manifest says`);
}

const blobName = (digest: string): string => `blobs/${digest.replace(":", "/")}`;
