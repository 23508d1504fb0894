/**
 * Unpacks an image: runs in a sandbox, without a way out, and so with nothing that an archive could reach. Built into one file
 * (`image-tools.ts`). Standard input: the archive. `argv`: the directory to work in, the architecture, and the bounds as JSON.
 * Standard error tells how it goes on; standard output has `ImageFacts` as JSON.
 */
import { argv, exit, stderr, stdin, stdout } from "node:process";
import { ImageError } from "./image-error.ts";
import { type ImageBounds, unpackImage } from "./unpack-image.ts";

async function main([dir = "", architecture = "", bounds = ""]: readonly string[]): Promise<void> {
  const facts = await unpackImage(stdin as AsyncIterable<Buffer>, dir, {
    architecture,
    bounds: JSON.parse(bounds) as ImageBounds,
    onProgress: (line) => stderr.write(`${line}\n`),
  });
  stdout.write(JSON.stringify(facts));
}

main(argv.slice(2)).catch((error: unknown) => {
  stderr.write(error instanceof ImageError ? `${error.message}\n` : `${String((error as Error).stack)}\n`);
  exit(1);
});
