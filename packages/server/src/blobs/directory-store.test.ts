import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDirectoryStore } from "./directory-store.ts";
import type { BlobStore } from "./port.ts";
import { BLOB_STORE_CASES } from "./testing/blob-store-cases.ts";

const run = promisify(execFile);
const FULL_DISK = fileURLToPath(new URL("full-disk.fixture.ts", import.meta.url));

let path: string;
let store: BlobStore;

beforeAll(async () => {
  path = await mkdtemp(join(tmpdir(), "sandbox0-blobs-"));
  store = await createDirectoryStore(join(path, "made", "when-needed"));
});
afterAll(async () => {
  await store.close();
  await rm(path, { recursive: true });
});

describe("a directory of blobs", () => {
  test.each(BLOB_STORE_CASES)("$name", ({ run }) => run(store));

  test("nobody else on the machine can read them", async () => {
    const staged = await store.stage([randomBytes(10)] as unknown as AsyncIterable<Uint8Array>, { bytesMax: 10 });
    await staged.publish();
    const root = join(path, "made", "when-needed");
    for (const name of await readdir(root, { recursive: true })) expect((await stat(join(root, name))).mode & 0o077).toBe(0);
  });

  test("a disk without room: said to be full, and nothing is left", async () => {
    const root = join(path, "full");
    // A process that may write no file longer than 64 kB: the same answer of the system as that of a full disk.
    const { stdout } = await run("sh", ["-c", 'ulimit -f 64; exec "$0" "$@"', process.execPath, FULL_DISK, root]);
    expect(stdout).toBe("blobs_unavailable full");
    expect(await readdir(join(root, "staging"))).toEqual([]);
  });
});
