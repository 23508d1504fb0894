import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile, realpath } from "node:fs/promises";
import { basename } from "node:path";
import { promisify } from "node:util";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { type Header, pack } from "tar-stream";

const run = promisify(execFile);
/** Go's words. */
const ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;

/** A file, unless it has another type. */
export interface ImageEntry extends Partial<Header> {
  name: string;
  content?: string | Buffer;
}

export interface TestImage {
  /** The lowest first. */
  layers: readonly (readonly ImageEntry[])[];
  env?: readonly string[];
  architecture?: string;
  /** How layers are compressed. Default: not. */
  compression?: "gzip" | "zstd";
}

export async function tarOf(entries: readonly ImageEntry[]): Promise<Buffer> {
  const tar = pack();
  for (const { content = "", ...header } of entries) tar.entry({ mode: 0o644, ...header }, content);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** The files of an image in the layout of the Open Container Initiative. */
export async function imageFiles(image: TestImage): Promise<ImageEntry[]> {
  const { compression, env = [], architecture = ARCHITECTURE } = image;
  const tars = await Promise.all(image.layers.map(tarOf));
  const layers = tars.map((tar) =>
    compression === "gzip" ? gzipSync(tar) : compression === "zstd" ? zstdCompressSync(tar) : tar,
  );
  const config = json({
    os: "linux",
    architecture,
    config: { Env: env },
    rootfs: { type: "layers", diff_ids: tars.map(digestOf) },
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: descriptor(config, "application/vnd.oci.image.config.v1+json"),
    layers: layers.map((layer) => descriptor(layer, "application/vnd.oci.image.layer.v1.tar")),
  });
  const index = { schemaVersion: 2, manifests: [descriptor(manifest, "application/vnd.oci.image.manifest.v1+json")] };
  const blobs = [manifest, config, ...layers].map((content) => ({ name: blobName(digestOf(content)), content }));
  return [
    { name: "oci-layout", content: '{"imageLayoutVersion":"1.0.0"}' },
    ...[...new Map(blobs.map((blob) => [blob.name, blob])).values()],
    { name: "index.json", content: json(index) },
  ];
}

export const imageArchive = async (image: TestImage): Promise<Buffer> => tarOf(await imageFiles(image));

/** As `docker save` wrote it before it knew the layout. */
export async function savedArchive({ layers, env = [], architecture = ARCHITECTURE }: TestImage): Promise<Buffer> {
  const tars = await Promise.all(layers.map(tarOf));
  const config = json({ os: "linux", architecture, config: { Env: env }, rootfs: { diff_ids: tars.map(digestOf) } });
  const names = tars.map((_, index) => `layer${index}/layer.tar`);
  return tarOf([
    ...tars.map((content, index) => ({ name: names[index] ?? "", content })),
    { name: "config.json", content: config },
    { name: "manifest.json", content: json([{ Config: "config.json", RepoTags: ["test:latest"], Layers: names }]) },
  ]);
}

/** Programs of this machine, with what they need to run. */
export async function hostPrograms(names: readonly string[]): Promise<ImageEntry[]> {
  const files = new Map<string, string>();
  for (const name of names) {
    const found = await realpath((await run("which", [name])).stdout.trim());
    files.set(`usr/bin/${name}`, found);
    const { stdout } = await run("ldd", [found]).catch(() => ({ stdout: "" }));
    for (const [, library = ""] of stdout.matchAll(/(?:=> )?(\/\S+) \(0x[0-9a-f]+\)/g)) files.set(placeOf(library), library);
  }
  const entries = [...files].map(async ([name, path]) => ({ name, mode: 0o755, content: await readFile(path) }));
  const links = ["bin", "lib", "lib64", "sbin"].map((name) => ({ name, type: "symlink" as const, linkname: `usr/${name}` }));
  return [...links, ...(await Promise.all(entries))];
}

/** The loader is looked for by its whole path, libraries also by their names. */
function placeOf(library: string): string {
  if (/\/ld-/.test(library)) return `usr${/\/lib64\//.test(library) ? "/lib64" : "/lib"}/${basename(library)}`;
  return `usr/lib/${basename(library)}`;
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
export const digestOf = (content: string | Buffer): string => `sha256:${createHash("sha256").update(content).digest("hex")}`;
const blobName = (digest: string): string => `blobs/${digest.replace(":", "/")}`;
const descriptor = (content: Buffer, mediaType: string) => ({ mediaType, digest: digestOf(content), size: content.length });
