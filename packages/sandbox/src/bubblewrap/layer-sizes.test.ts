import { link, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LayerSizes } from "./layer-sizes.ts";

const FILES = 1_000;
const INODE_BYTES = 4096;

let dir: string;
let layer: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "sandbox0-sizes-"));
  layer = join(dir, "layer");
  await mkdir(layer);
  for (let i = 0; i < FILES; i++) await writeFile(join(layer, `empty-${i}`), "");
});
afterEach(() => rm(dir, { recursive: true }));

const sizeOf = () => new LayerSizes(join(dir, "sizes")).of("layer", layer);

test("files without content take room, too, and each once", async () => {
  const bytes = await sizeOf();
  expect(bytes).toBeGreaterThanOrEqual(FILES * INODE_BYTES);
  expect(bytes).toBeLessThan(2 * FILES * INODE_BYTES);
  await rm(join(dir, "sizes"), { recursive: true });
  for (let i = 0; i < FILES; i++) await link(join(layer, `empty-${i}`), join(layer, `again-${i}`));
  expect(await sizeOf()).toBeLessThan(2 * FILES * INODE_BYTES);
});

test("what was counted is kept, unless it was counted in another way", async () => {
  const bytes = await sizeOf();
  await rm(layer, { recursive: true });
  await mkdir(layer);
  expect(await sizeOf()).toBe(bytes);
  for (const text of ["4096", "", "1 4096"]) {
    await writeFile(join(dir, "sizes/layer"), text);
    expect(await sizeOf()).toBeLessThan(bytes);
  }
  expect(await readFile(join(dir, "sizes/layer"), "utf8")).toMatch(/^2 \d+$/);
});
