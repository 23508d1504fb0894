import type { Blobs } from "../../blobs/blobs.ts";
import { BlobMissing, BlobsUnavailable } from "../../blobs/port.ts";
import { parseImage } from "../../resources/environments/environment-image.ts";
import { readFile } from "../../store/files.ts";
import type { Queryable } from "../../store/query.ts";
import { ImageUnavailable, type OpenImage } from "../packages/build-image.ts";
import { pullImage } from "./pull-image.ts";
import type { RegistryOptions } from "./registry-client.ts";

export interface ImagesDeps extends RegistryOptions {
  db: Queryable;
  blobs: Pick<Blobs, "open">;
  /** Where references without a host lead; `null`: nowhere. */
  defaultRegistry: string | null;
  /** Of the images that sandboxes here can have, in Go's words. */
  architecture: string;
}

/** What registries with a default namespace put before names of one part, as `docker pull` does. */
const DEFAULT_NAMESPACE = "library";

/** The archives of environments' images: files of their workspaces, and what registries give to anybody. */
export function createOpenImage(deps: ImagesDeps): OpenImage {
  const { defaultRegistry } = deps;
  return async (workspaceId, text, { signal, onProgress }) => {
    const image = parseImage(text);
    if (image === null) throw new ImageUnavailable(`${JSON.stringify(text)} names no image`);
    if (image.type === "file") {
      onProgress(`file ${image.fileId}`);
      return openFile(deps, workspaceId, image.fileId);
    }
    const registry = image.registry ?? defaultRegistry;
    if (registry === null) {
      throw new ImageUnavailable(`${text} names no registry, and this server has no default one (SANDBOX0_IMAGE_REGISTRY)`);
    }
    const isBare = image.registry === null && !image.repository.includes("/");
    const repository = isBare ? `${DEFAULT_NAMESPACE}/${image.repository}` : image.repository;
    return pullImage({ ...image, registry, repository }, { ...deps, signal, onProgress });
  };
}

async function* openFile({ db, blobs }: ImagesDeps, workspaceId: string, fileId: string): AsyncGenerator<Uint8Array> {
  const file = await readFile(db, workspaceId, fileId);
  if (file === null) throw new ImageUnavailable(`there is no file ${fileId}`);
  if (file.sha256 === null) throw new ImageUnavailable(`the file ${fileId} has expired`);
  try {
    yield* await blobs.open(file.sha256);
  } catch (error) {
    if (error instanceof BlobMissing) throw new ImageUnavailable(`the file ${fileId} is gone`, { cause: error });
    if (error instanceof BlobsUnavailable) throw new ImageUnavailable("the store of files does not answer", { cause: error });
    throw error;
  }
}
