import { createHash } from "node:crypto";
import { ImageError } from "./image-error.ts";
import { type ImageTree, type Names, namesOf, show } from "./image-tree.ts";
import { type ByteBudget, eachTarEntry, type TarEntry } from "./tar-entries.ts";

const WHITEOUT = ".wh.";
/** Means the directory that it is in; other names that begin so are bookkeeping of file systems of old. */
const [OPAQUE, BOOKKEEPING] = [".wh..wh..opq", ".wh..wh."] as const;

export interface LayerBounds {
  bytes: ByteBudget;
  /** @throws ImageError */
  takeEntry(): void;
}

/**
 * Unpacks a layer over those below it, and removes what it says is gone (OCI image-spec, "Image Layer Filesystem Changeset").
 * Devices, pipes and sockets are left out.
 * @param digest of the archive as it is when it is not compressed: `sha256:…`
 * @throws ImageError
 */
export async function applyLayer(
  tree: ImageTree,
  archive: AsyncIterable<Buffer>,
  digest: string,
  bounds: LayerBounds,
): Promise<void> {
  const hash = createHash("sha256");
  const layer = new Layer(tree);
  const onBytes = (bytes: Buffer): void => {
    bounds.bytes.take(bytes.length);
    hash.update(bytes);
  };
  await eachTarEntry(archive, onBytes, async (entry) => {
    bounds.takeEntry();
    await layer.take(entry);
  });
  const found = `sha256:${hash.digest("hex")}`;
  if (found !== digest) throw new ImageError(`a layer is ${found} and not ${digest}`);
}

class Layer {
  readonly #tree: ImageTree;
  /** Of this layer: what it says is gone was below it. */
  readonly #own = new Set<string>();

  constructor(tree: ImageTree) {
    this.#tree = tree;
  }

  async take(entry: TarEntry): Promise<void> {
    const path = namesOf(entry.header.name);
    const name = path.at(-1);
    // The root itself.
    if (name === undefined) return drain(entry);
    if (name.startsWith(WHITEOUT)) {
      await drain(entry);
      this.#whiteOut(path.slice(0, -1), name);
      return;
    }
    const names = [...this.#tree.makeDir(path.slice(0, -1)), name];
    if (await this.#place(names, entry)) this.#own.add(this.#tree.path(names));
  }

  async #place(names: Names, entry: TarEntry): Promise<boolean> {
    const { header, content } = entry;
    switch (header.type) {
      case "file":
      case "contiguous-file":
        await this.#tree.placeFile(names, content, header);
        return true;
      case "directory":
        this.#tree.placeDir(names);
        break;
      case "symlink":
        this.#tree.placeLink(names, header.linkname ?? "");
        break;
      case "link":
        this.#tree.placeHardLink(names, namesOf(header.linkname ?? ""));
        break;
      case "character-device":
      case "block-device":
      case "fifo":
        await drain(entry);
        return false;
      default:
        throw new ImageError(`${show(names)} is of a kind that is not known`);
    }
    await drain(entry);
    return true;
  }

  #whiteOut(parent: Names, name: string): void {
    const dir = this.#tree.findDir(parent);
    if (name === OPAQUE) {
      if (dir !== null) this.#tree.removeBut(dir, (path) => this.#own.has(path));
      return;
    }
    if (name.startsWith(BOOKKEEPING)) return;
    const gone = name.slice(WHITEOUT.length);
    if (gone === "" || gone === "." || gone === "..") throw new ImageError(`${show([...parent, name])} removes no name`);
    if (dir === null || this.#own.has(this.#tree.path([...dir, gone]))) return;
    this.#tree.remove([...dir, gone]);
  }
}

async function drain({ content }: TarEntry): Promise<void> {
  for await (const _ of content);
}
