/**
 * A manifest says what the files of a volume are: a line of JSON with the blobs, then a line for each entry, in the order in
 * which a walk finds them. Paths and link targets are bytes, written as Latin-1: names need not be UTF-8. Times are whole
 * microseconds, which is what the system's calls keep of a number.
 */
export const MANIFEST_FORMAT = 1;

/** What a manifest names by a number: it keeps it from one checkpoint to the next. */
export interface ManifestBlob {
  number: number;
  sha256: string;
  sizeBytes: number;
  /** Of it that the manifest's files use: a pack of small files may be left with few of them. */
  usedBytes: number;
}

export interface ManifestHead {
  format: typeof MANIFEST_FORMAT;
  blobs: readonly ManifestBlob[];
}

/** In a list of chunks: nothing but zeros, and not stored. */
export const ZEROS = -1;

interface Named {
  path: string;
}
interface Stamped extends Named {
  mode: number;
  mtimeUs: number;
}
/** Says without a look at its content that a file of this volume is unchanged; "": it cannot be said. */
interface Identified {
  identity: string;
}
export interface DirectoryEntry extends Stamped {
  type: "directory";
}
/** Its content lies in a pack, from `offset`. `blob` is {@link ZEROS} for an empty one. */
export interface SmallFileEntry extends Stamped, Identified {
  type: "small";
  sizeBytes: number;
  blob: number;
  offset: number;
}
/** Its content is so many blobs, one behind the other; behind the last one it is zeros to its end. */
export interface LargeFileEntry extends Stamped, Identified {
  type: "large";
  sizeBytes: number;
  chunks: readonly number[];
}
export interface SymlinkEntry extends Named {
  type: "symlink";
  mtimeUs: number;
  target: string;
}
/** Another name of a file that comes before it. */
export interface HardLinkEntry extends Named {
  type: "hardlink";
  target: string;
}
export type FileEntry = SmallFileEntry | LargeFileEntry;
export type ManifestEntry = DirectoryEntry | FileEntry | SymlinkEntry | HardLinkEntry;

export function encodeEntry(entry: ManifestEntry): string {
  switch (entry.type) {
    case "directory":
      return JSON.stringify(["d", entry.path, entry.mode, entry.mtimeUs]);
    case "small": {
      const { path, mode, mtimeUs, sizeBytes, blob, offset, identity } = entry;
      return JSON.stringify(["f", path, mode, mtimeUs, sizeBytes, blob, offset, identity]);
    }
    case "large": {
      const { path, mode, mtimeUs, sizeBytes, chunks, identity } = entry;
      return JSON.stringify(["c", path, mode, mtimeUs, sizeBytes, chunks, identity]);
    }
    case "symlink":
      return JSON.stringify(["l", entry.path, entry.mtimeUs, entry.target]);
    case "hardlink":
      return JSON.stringify(["h", entry.path, entry.target]);
  }
}

/** What {@link encodeEntry} wrote: its content is found by its hash, so nobody else can have. @throws Error for another format */
export function decodeEntry(line: string): ManifestEntry {
  const [type, path, ...rest] = JSON.parse(line) as [string, string, ...unknown[]];
  checkPath(path);
  switch (type) {
    case "d": {
      const [mode, mtimeUs] = rest as [number, number];
      return { type: "directory", path, mode, mtimeUs };
    }
    case "f": {
      const [mode, mtimeUs, sizeBytes, blob, offset, identity] = rest as [number, number, number, number, number, string];
      return { type: "small", path, mode, mtimeUs, sizeBytes, blob, offset, identity };
    }
    case "c": {
      const [mode, mtimeUs, sizeBytes, chunks, identity] = rest as [number, number, number, number[], string];
      return { type: "large", path, mode, mtimeUs, sizeBytes, chunks, identity };
    }
    case "l": {
      const [mtimeUs, target] = rest as [number, string];
      return { type: "symlink", path, mtimeUs, target };
    }
    case "h": {
      const [target] = rest as [string];
      return { type: "hardlink", path, target: checkPath(target) };
    }
    default:
      throw new Error(`an entry of a manifest has the unknown type ${JSON.stringify(type)}`);
  }
}

/** No path may lead out of the volume, whoever wrote the manifest. */
function checkPath(path: string): string {
  if (path.split("/").some((name) => name === "" || name === "." || name === ".."))
    throw new Error(`a manifest has the path ${JSON.stringify(path)}`);
  return path;
}

/** In the order of a walk: a directory, what is in it, then its next sibling. Below 0: `a` comes first. */
export function comparePaths(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const difference = rank(a.charCodeAt(at)) - rank(b.charCodeAt(at));
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

const SLASH = 0x2f;
/** No name holds a NUL: in its place the slash sorts before every other byte. */
const rank = (code: number): number => (code === SLASH ? 0 : code);
