import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, mkdirSync, readFileSync, statSync } from "node:fs";
import { join, posix } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ImageError } from "./image-error.ts";
import { byteBudget, eachTarEntry } from "./tar-entries.ts";

/** Layers, manifests and what else `docker save` writes. */
const ENTRIES_MAX = 4096;
const LINKS_MAX = 8;
/** Of a manifest, an index or a configuration. */
const JSON_BYTES_MAX = 8 * 1024 * 1024;

/** The files of an image's archive, on the disk and by their names there. */
export interface ArchiveFiles {
  has(name: string): boolean;
  /** Of its content: 64 hex digits. @throws ImageError when it is not there */
  sha256(name: string): string;
  size(name: string): number;
  stream(name: string): AsyncIterable<Buffer>;
  /** @throws ImageError */
  json(name: string): unknown;
}

interface SavedFile {
  path: string;
  sha256: string;
}

/**
 * Takes an archive apart. Names in it are looked up, never used as paths.
 * @param dir to make, for its files
 * @throws ImageError
 */
export async function readArchive(source: AsyncIterable<Buffer>, dir: string, bytesMax: number): Promise<ArchiveFiles> {
  mkdirSync(dir);
  const files = new Map<string, SavedFile>();
  const links = new Map<string, string>();
  const budget = byteBudget(bytesMax);
  let entries = 0;
  await eachTarEntry(
    source,
    (bytes) => budget.take(bytes.length),
    async ({ header, content }) => {
      if (++entries > ENTRIES_MAX) throw new ImageError(`it has more than ${ENTRIES_MAX} files`);
      const name = key(header.name);
      if (header.type === "file" || header.type === "contiguous-file")
        files.set(name, await save(content, join(dir, String(entries))));
      else for await (const _ of content);
      // Older ones have a layer that is there twice as a link.
      if (header.type === "symlink") links.set(name, key(posix.join(posix.dirname(name), header.linkname ?? "")));
      if (header.type === "link") links.set(name, key(header.linkname ?? ""));
    },
  );
  return archiveFiles(files, links);
}

function archiveFiles(files: ReadonlyMap<string, SavedFile>, links: ReadonlyMap<string, string>): ArchiveFiles {
  const find = (name: string): SavedFile | undefined => {
    let at = key(name);
    for (let left = LINKS_MAX; left > 0 && !files.has(at); left--) at = links.get(at) ?? at;
    return files.get(at);
  };
  const need = (name: string): SavedFile => {
    const file = find(name);
    if (file === undefined) throw new ImageError(`${name} is not in it`);
    return file;
  };
  return {
    has: (name) => find(name) !== undefined,
    sha256: (name) => need(name).sha256,
    size: (name) => statSync(need(name).path).size,
    stream: (name) => createReadStream(need(name).path) as AsyncIterable<Buffer>,
    json(name) {
      const { path } = need(name);
      if (statSync(path).size > JSON_BYTES_MAX) throw new ImageError(`${name} has more than ${JSON_BYTES_MAX} bytes`);
      try {
        return JSON.parse(readFileSync(path, "utf8"));
      } catch (error) {
        throw new ImageError(`${name} is no JSON`, { cause: error });
      }
    },
  };
}

async function save(content: AsyncIterable<Buffer>, path: string): Promise<SavedFile> {
  const hash = createHash("sha256");
  const hashed = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of content) {
      hash.update(chunk);
      yield chunk;
    }
  };
  await pipeline(Readable.from(hashed()), createWriteStream(path, { flags: "wx" }));
  return { path, sha256: hash.digest("hex") };
}

const key = (name: string): string => posix.normalize(`/${name}`);
