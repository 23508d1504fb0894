import { createDirectoryStore } from "./directory-store.ts";
import { BlobsUnavailable } from "./port.ts";

/** A program: stages 1 MB in the directory of its argument, and prints how that failed. */
async function* megabyte(): AsyncGenerator<Uint8Array, void, undefined> {
  for (let i = 0; i < 16; i += 1) yield new Uint8Array(65_536);
}

const [, , path = ""] = process.argv;
const store = await createDirectoryStore(path);
try {
  await store.stage(megabyte(), { bytesMax: Number.MAX_SAFE_INTEGER });
  process.stdout.write("stored");
} catch (error) {
  if (!(error instanceof BlobsUnavailable)) throw error;
  process.stdout.write(`${error.code} ${error.reason}`);
}
