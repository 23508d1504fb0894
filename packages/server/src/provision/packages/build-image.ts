import { type Layers, SandboxError } from "@sandbox0/sandbox";
import { BuildFailed, BuildStopped, type LayerBuild } from "./build-layer.ts";
import { createLogTail } from "./log-tail.ts";

/** In a build's progress. */
export const IMAGE_STEP = "image";

/** The image is not to be had; a sentence without its end. */
export class ImageUnavailable extends Error {
  readonly code = "image_unavailable";
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "ImageUnavailable";
  }
}

/**
 * The archive of an environment's image, as `ImageSource` wants it.
 * @param image as the environment names it
 * @throws ImageUnavailable, also while it is read
 */
export type OpenImage = (
  workspaceId: string,
  image: string,
  options: { signal: AbortSignal; onProgress(line: string): void },
) => Promise<AsyncIterable<Uint8Array>>;

export interface ImageBuild extends Pick<LayerBuild, "name" | "signal" | "timeMsMax" | "onProgress" | "admit"> {
  layers: Layers;
  workspaceId: string;
  image: string;
  openImage: OpenImage;
}

/**
 * Makes a layer of an image.
 * @returns what there is to say of it
 * @throws BuildFailed, BuildStopped
 */
export async function buildImage({ layers, name, workspaceId, image, openImage, ...build }: ImageBuild): Promise<string> {
  const tail = createLogTail();
  const onProgress = (line: string): void => {
    tail.add(`${line}\n`);
    build.onProgress(IMAGE_STEP, tail.text);
  };
  build.onProgress(IMAGE_STEP, tail.text);
  const time = AbortSignal.timeout(build.timeMsMax);
  // Whatever the image still comes by when nobody reads it any more.
  const done = new AbortController();
  const signal = AbortSignal.any([build.signal, time, done.signal]);
  try {
    const archive = await openImage(workspaceId, image, { signal, onProgress });
    await layers.unpackImage(name, { archive, signal, onProgress, admit: build.admit });
    return tail.text();
  } catch (error) {
    if (build.signal.aborted) throw new BuildStopped();
    if (time.aborted) {
      const why = `the image was not there after ${build.timeMsMax / 60_000} minutes`;
      throw new BuildFailed(why, IMAGE_STEP, tail.text(), { cause: error });
    }
    if (!(error instanceof SandboxError || error instanceof ImageUnavailable)) throw error;
    throw new BuildFailed(error.message, IMAGE_STEP, tail.text(), { cause: error });
  } finally {
    done.abort();
  }
}
