import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { Blobs } from "../../blobs/blobs.ts";
import { placeSkills } from "./place-skills.ts";

/** A program: places a skill with an archive of 1 MB in the volume of its argument, and prints how that failed. */
const [, , path = ""] = process.argv;
const blobs = { open: async () => Readable.from([Buffer.alloc(1024 * 1024)]) } as Pick<Blobs, "open"> as Blobs;
const skill = { name: "large", directory: "/mnt/skills/large", sha256: "0".repeat(64) };
await mkdir(join(path, "skills"), { recursive: true });
try {
  await placeSkills(blobs, { id: "vol_1", path }, [skill], { signal: new AbortController().signal });
  process.stdout.write("placed");
} catch (error) {
  process.stdout.write(`${(error as { code?: string }).code}: ${error instanceof Error ? error.message : ""}`);
}
