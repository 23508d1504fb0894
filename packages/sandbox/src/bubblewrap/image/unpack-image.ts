import { rmSync } from "node:fs";
import { join } from "node:path";
import { applyLayer, type LayerBounds } from "./apply-layer.ts";
import { finishRoot, type ImageFacts, sandboxEnv } from "./finish-root.ts";
import { ImageError } from "./image-error.ts";
import { findImage } from "./image-manifest.ts";
import { ImageTree } from "./image-tree.ts";
import { readArchive } from "./read-archive.ts";
import { byteBudget } from "./tar-entries.ts";

/** In the directory that an image is unpacked in. */
export const ROOT_NAME = "root";
const ARCHIVE_NAME = "archive";

export interface ImageBounds {
  /** Of the archive when it is not compressed, and again of all layers together. */
  bytesMax: number;
  /** Files, directories and links of all layers together, with the directories that they are in. */
  entriesMax: number;
}

export interface UnpackOptions {
  /** In the words of Go: `amd64`, `arm64`. */
  architecture: string;
  bounds: ImageBounds;
  onProgress(line: string): void;
}

/**
 * Unpacks an archive (an OCI image layout, or what `docker save` writes) into the root of a sandbox, `<dir>/root`.
 * @throws ImageError
 */
export async function unpackImage(source: AsyncIterable<Buffer>, dir: string, options: UnpackOptions): Promise<ImageFacts> {
  const { architecture, bounds, onProgress } = options;
  onProgress("reading the image");
  const archiveDir = join(dir, ARCHIVE_NAME);
  const files = await readArchive(source, archiveDir, bounds.bytesMax);
  const { digest, layers, env } = findImage(files, architecture);
  onProgress(`image ${digest}`);
  const layerBounds = createLayerBounds(bounds);
  const tree = new ImageTree(join(dir, ROOT_NAME), layerBounds.takeEntry);
  for (const [index, { name, diffId }] of layers.entries()) {
    onProgress(`unpacking layer ${index + 1} of ${layers.length}: ${files.size(name)} bytes`);
    await applyLayer(tree, files.stream(name), diffId, layerBounds);
  }
  const places = await finishRoot(tree);
  rmSync(archiveDir, { recursive: true });
  return { digest, env: sandboxEnv(env), ...places };
}

function createLayerBounds({ bytesMax, entriesMax }: ImageBounds): LayerBounds {
  let entries = 0;
  return {
    bytes: byteBudget(bytesMax),
    takeEntry() {
      if (++entries > entriesMax) throw new ImageError(`it has more than ${entriesMax} files`);
    },
  };
}
