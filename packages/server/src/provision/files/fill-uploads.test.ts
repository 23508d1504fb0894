import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BlobMissing } from "../../blobs/port.ts";
import { fillUploads, type UploadedFile } from "./fill-uploads.ts";

let dir: string;
let contents: Map<string, Buffer>;
let opened: string[];
const signal = new AbortController().signal;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "sandbox0-uploads-"));
  await mkdir(join(dir, "uploads"));
  contents = new Map();
  opened = [];
});
afterEach(() => rm(dir, { recursive: true }));

const dirs = () => ({ uploads: join(dir, "uploads"), incoming: join(dir, "incoming") });
const blobs = {
  open: async (sha256: string) => {
    const content = contents.get(sha256);
    if (!content) throw new BlobMissing(sha256);
    opened.push(sha256);
    return Readable.from([content]);
  },
};
const file = (path: string, text: string, givenAtMs = 1_700_000_000_123): UploadedFile => {
  const sha256 = createHash("sha256").update(text).digest("hex");
  contents.set(sha256, Buffer.from(text));
  return { path, sha256, sizeBytes: Buffer.byteLength(text), givenAt: new Date(givenAtMs) };
};
const fill = (files: UploadedFile[]) => fillUploads(blobs, dirs(), files, signal);
const read = (path: string) => readFile(join(dir, "uploads", path), "utf8");
const all = async () => (await readdir(join(dir, "uploads"), { recursive: true })).sort();

test("files are there whole, for everybody to read and nobody to write, whatever the umask is", async () => {
  const before = process.umask(0o077);
  try {
    await fill([file("a.txt", "one"), file("deep/er/b.txt", "two"), file("deep/empty", "")]);
  } finally {
    process.umask(before);
  }
  expect(await all()).toEqual(["a.txt", "deep", "deep/empty", "deep/er", "deep/er/b.txt"]);
  expect([await read("a.txt"), await read("deep/er/b.txt"), await read("deep/empty")]).toEqual(["one", "two", ""]);
  expect((await stat(join(dir, "uploads/a.txt"))).mode & 0o777).toBe(0o444);
  expect((await stat(join(dir, "uploads/deep/er"))).mode & 0o777).toBe(0o755);
  expect(await readdir(dir)).toEqual(["uploads"]);
});

test("what is there is not read again; what has changed is; what is not wanted goes", async () => {
  const [a, b, c] = [file("a", "one"), file("d/b", "two"), file("d/c", "three")];
  await fill([a, b, c]);
  opened = [];
  await fill([a, b, c]);
  expect(opened).toEqual([]);
  // Another file of the same size, given to the session at another time.
  const other = file("a", "ONE", 1_700_000_000_124);
  await fill([other, b]);
  expect(opened).toEqual([other.sha256]);
  expect(await all()).toEqual(["a", "d", "d/b"]);
  expect(await read("a")).toBe("ONE");
  await fill([file("d", "a file where a directory was")]);
  expect(await all()).toEqual(["d"]);
  await fill([file("d/now/a/directory", "again")]);
  expect(await all()).toEqual(["d", "d/now", "d/now/a", "d/now/a/directory"]);
  await fill([]);
  expect(await all()).toEqual([]);
});

test("what somebody put there is replaced, and never followed", async () => {
  const outside = join(dir, "outside");
  await mkdir(outside);
  await writeFile(join(outside, "kept"), "kept");
  await symlink(outside, join(dir, "uploads", "d"));
  await symlink(join(outside, "kept"), join(dir, "uploads", "a"));
  await fill([file("d/kept", "mine"), file("a", "mine")]);
  expect(await readFile(join(outside, "kept"), "utf8")).toBe("kept");
  expect([await read("d/kept"), await read("a")]).toEqual(["mine", "mine"]);
});

test("a content that is lost is an error, and leaves no part of a file behind; the next time goes on", async () => {
  const good = file("good", "x");
  const lost = file("lost", "gone");
  contents.delete(lost.sha256);
  await expect(fill([good, lost])).rejects.toThrow(BlobMissing);
  expect(await readdir(dir)).toEqual(["uploads"]);
  expect(await all()).not.toContain("lost");
  // A server died in the middle.
  await mkdir(join(dir, "incoming"));
  await writeFile(join(dir, "incoming", "0"), "half");
  await chmod(join(dir, "incoming", "0"), 0o444);
  contents.set(lost.sha256, Buffer.from("gone"));
  await fill([good, lost]);
  expect([await read("good"), await read("lost")]).toEqual(["x", "gone"]);
});

test("500 files are written at once, and looked at again without reading one", async () => {
  const files = Array.from({ length: 500 }, (_, index) => file(`d${index % 10}/f${index}`, `content ${index}`));
  await fill(files);
  expect((await all()).length).toBe(510);
  opened = [];
  await fill(files);
  expect(opened).toEqual([]);
});

test("a turn that is stopped stops it", async () => {
  const controller = new AbortController();
  controller.abort();
  await expect(fillUploads(blobs, dirs(), [file("a", "x")], controller.signal)).rejects.toThrow();
  expect(await readdir(dir)).toEqual(["uploads"]);
});
