import { ImageError } from "./image-error.ts";
import type { ArchiveFiles } from "./read-archive.ts";

const LAYERS_MAX = 128;
/** An index may hold others. */
const INDEX_DEPTH_MAX = 3;
const MANIFESTS_MAX = 256;
const SHA256 = /^sha256:([0-9a-f]{64})$/;
const ATTESTATION = "attestation-manifest";

/** What an image is made of. */
export interface ImageParts {
  /** Of the manifest; of the configuration where there is no manifest that has one. */
  digest: string;
  /** The lowest first. */
  layers: readonly { /** In the archive. */ name: string /** When it is not compressed. */; diffId: string }[];
  /** `NAME=value`. */
  env: readonly string[];
}

interface Descriptor {
  digest: string;
  size: number | null;
  mediaType: string;
  platform: string | null;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * Finds the image for this platform in the layout of the Open Container Initiative, or in what `docker save` wrote before it
 * knew that, and checks the digest of each file but the layers'.
 * @param architecture in the words of Go: `amd64`, `arm64`
 * @throws ImageError
 */
export function findImage(files: ArchiveFiles, architecture: string): ImageParts {
  if (files.has("index.json")) return fromLayout(files, architecture);
  if (files.has("manifest.json")) return fromSaved(files, architecture);
  throw new ImageError("it is no image: it has neither an index.json nor a manifest.json");
}

function fromLayout(files: ArchiveFiles, architecture: string): ImageParts {
  const listed = manifestsIn(files, fields(files.json("index.json"), "index.json"), 0);
  const wanted = `linux/${architecture}`;
  const fitting = listed.filter(({ platform }) => platform === null || platform === wanted);
  const present = fitting.filter(({ digest }) => files.has(blobName(digest)));
  const digests = [...new Set(present.map(({ digest }) => digest))];
  const [digest] = digests;
  if (digest === undefined) {
    const others = [...new Set(listed.map(({ platform }) => platform ?? "unknown"))].join(", ");
    throw new ImageError(`it has no image for ${wanted}${others === "" ? "" : `, but for ${others}`}`);
  }
  if (digests.length > 1) throw new ImageError(`it has ${digests.length} images: save one`);
  const manifest = checkedJson(files, present[0] as Descriptor);
  const config = descriptorOf(manifest["config"], "the manifest's config");
  const layers = list(manifest["layers"], "the manifest's layers").map((each) => descriptorOf(each, "a layer"));
  for (const layer of layers) checkBlob(files, layer);
  return {
    digest,
    ...partsOf(
      checkedJson(files, config),
      architecture,
      layers.map((layer) => blobName(layer.digest)),
    ),
  };
}

/** `manifest.json`, an array with paths. */
function fromSaved(files: ArchiveFiles, architecture: string): ImageParts {
  const images = list(files.json("manifest.json"), "manifest.json");
  if (images.length !== 1) throw new ImageError(`it has ${images.length} images: save one`);
  const image = fields(images[0], "manifest.json");
  const config = text(image["Config"], "manifest.json: Config");
  const layers = list(image["Layers"], "manifest.json: Layers").map((each) => text(each, "manifest.json: Layers"));
  const digest = `sha256:${files.sha256(config)}`;
  return { digest, ...partsOf(fields(files.json(config), config), architecture, layers) };
}

function partsOf(config: Fields, architecture: string, names: readonly string[]): Omit<ImageParts, "digest"> {
  const found = `${String(config["os"])}/${String(config["architecture"])}`;
  if (found !== `linux/${architecture}`)
    throw new ImageError(`it is an image for ${found}, and this machine is linux/${architecture}`);
  const rootfs = fields(config["rootfs"], "the configuration's rootfs");
  const diffIds = list(rootfs["diff_ids"], "the configuration's diff_ids").map((each) => text(each, "a diff_id"));
  if (names.length > LAYERS_MAX) throw new ImageError(`it has more than ${LAYERS_MAX} layers`);
  if (diffIds.length !== names.length) throw new ImageError(`it has ${names.length} layers, and digests of ${diffIds.length}`);
  const settings =
    config["config"] === undefined || config["config"] === null ? {} : fields(config["config"], "the configuration");
  const env = settings["Env"] === undefined || settings["Env"] === null ? [] : list(settings["Env"], "Env");
  return {
    layers: names.map((name, index) => ({ name, diffId: diffIds[index] ?? "" })),
    env: env.map((each) => text(each, "Env")),
  };
}

function manifestsIn(files: ArchiveFiles, index: Fields, depth: number): Descriptor[] {
  if (depth > INDEX_DEPTH_MAX) throw new ImageError("its indexes do not end");
  const listed = list(index["manifests"], "the index's manifests");
  if (listed.length > MANIFESTS_MAX) throw new ImageError(`an index has more than ${MANIFESTS_MAX} images`);
  return listed.filter(isImage).flatMap((each) => {
    const descriptor = descriptorOf(each, "an image of the index");
    if (!/index|manifest[.]list/.test(descriptor.mediaType)) return [descriptor];
    return files.has(blobName(descriptor.digest)) ? manifestsIn(files, checkedJson(files, descriptor), depth + 1) : [];
  });
}

/** And no note about one. */
function isImage(value: unknown): boolean {
  const annotations = (value as { annotations?: Fields } | null)?.annotations;
  return annotations?.["vnd.docker.reference.type"] !== ATTESTATION;
}

function descriptorOf(value: unknown, what: string): Descriptor {
  const { digest, size, mediaType, platform } = fields(value, what);
  const { os, architecture } = platform === undefined || platform === null ? {} : fields(platform, `${what}'s platform`);
  return {
    digest: text(digest, `${what}'s digest`),
    size: typeof size === "number" ? size : null,
    mediaType: typeof mediaType === "string" ? mediaType : "",
    platform: os === undefined ? null : `${String(os)}/${String(architecture)}`,
  };
}

function checkedJson(files: ArchiveFiles, descriptor: Descriptor): Fields {
  checkBlob(files, descriptor);
  return fields(files.json(blobName(descriptor.digest)), descriptor.digest);
}

function checkBlob(files: ArchiveFiles, { digest, size }: Descriptor): void {
  const name = blobName(digest);
  const found = `sha256:${files.sha256(name)}`;
  if (found !== digest) throw new ImageError(`the content of ${digest} is ${found}`);
  if (size !== null && files.size(name) !== size) throw new ImageError(`${digest} has ${files.size(name)} bytes and not ${size}`);
}

/** @throws ImageError for a digest by another algorithm */
function blobName(digest: string): string {
  const hex = SHA256.exec(digest)?.[1];
  if (hex === undefined) throw new ImageError(`${digest.slice(0, 100)} is no SHA-256 digest`);
  return `blobs/sha256/${hex}`;
}

function fields(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new ImageError(`${what} is no object`);
  return value as Fields;
}

function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new ImageError(`${what} is no list`);
  return value;
}

function text(value: unknown, what: string): string {
  if (typeof value !== "string") throw new ImageError(`${what} is no text`);
  return value;
}
