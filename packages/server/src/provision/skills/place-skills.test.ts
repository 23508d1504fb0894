import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Volume } from "@sandbox0/sandbox";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ZipFile } from "yazl";
import type { Blobs } from "../../blobs/blobs.ts";
import { BlobMissing, BlobsUnavailable } from "../../blobs/port.ts";
import { type PlacedSkill, placeSkills } from "./place-skills.ts";

const FULL_DISK = fileURLToPath(new URL("full-disk.fixture.ts", import.meta.url));

let dir: string;
let volume: Volume;
const stored = new Map<string, () => Readable>();
let opened = 0;
const blobs = {
  async open(sha256: string) {
    opened += 1;
    const content = stored.get(sha256);
    if (content === undefined) throw new BlobMissing(sha256);
    return content();
  },
} as Pick<Blobs, "open"> as Blobs;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "sandbox0-place-"));
  volume = { id: "vol_1", path: join(dir, "volume") };
  await mkdir(join(volume.path, "skills"), { recursive: true });
  opened = 0;
});
afterEach(async () => {
  expect(await readdir(dir), "nothing beside the volume").toEqual(["volume"]);
  await rm(dir, { recursive: true });
});

type Entries = Readonly<Record<string, string | { content: string | Buffer; mode: number }>>;

async function zipped(entries: Entries): Promise<Buffer> {
  const zip = new ZipFile();
  for (const [path, entry] of Object.entries(entries)) {
    const { content, mode } = typeof entry === "string" ? { content: entry, mode: 0o100644 } : entry;
    zip.addBuffer(Buffer.from(content), path, { mode });
  }
  zip.end();
  return buffer(zip.outputStream as Readable);
}

/** A stored archive, as a skill that is to be placed. */
function archived(name: string, bytes: Buffer, open = () => Readable.from([bytes])): PlacedSkill {
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  stored.set(sha256, open);
  return { name, directory: `/mnt/skills/${name}`, sha256 };
}
const skill = async (name: string, entries: Entries) => archived(name, await zipped(entries));
const place = (wanted: PlacedSkill[], options: { signal?: AbortSignal; bytesMax?: number } = {}) =>
  placeSkills(blobs, volume, wanted, { signal: new AbortController().signal, ...options });
const inPlace = (...path: string[]): string => join(volume.path, "skills", ...path);
const contents = (path: string): Promise<string> => readFile(inPlace(path), "utf8");

describe("skills in a volume", () => {
  test("are there as they were packed, whatever the umask is, and nobody but the server may write them", async () => {
    const umask = process.umask(0o077);
    try {
      const problems = await place([
        await skill("a", {
          "a/SKILL.md": "# a",
          "a/scripts/deep/run.sh": { content: "#!/bin/sh", mode: 0o100777 },
          "a/empty": "",
        }),
      ]);
      expect(problems.size).toBe(0);
    } finally {
      process.umask(umask);
    }
    expect(await contents("a/SKILL.md")).toBe("# a");
    for (const [path, mode] of Object.entries({
      a: 0o755,
      "a/scripts/deep": 0o755,
      "a/scripts/deep/run.sh": 0o755,
      "a/SKILL.md": 0o644,
      "a/empty": 0o644,
    })) {
      const found = await stat(inPlace(path));
      expect([path, found.mode & 0o7777, found.uid]).toEqual([path, mode, process.getuid?.()]);
    }
  });

  test("are unpacked once, and again when they are gone", async () => {
    const wanted = [await skill("a", { "a/SKILL.md": "# a" }), await skill("b", { "b/SKILL.md": "# b" })];
    await place(wanted);
    await place(wanted);
    expect(opened).toBe(2);
    await rm(inPlace("b"), { recursive: true });
    await place(wanted);
    expect(opened).toBe(3);
    expect(await contents("b/SKILL.md")).toBe("# b");
    // A volume that came back without them.
    await rm(inPlace(), { recursive: true });
    await mkdir(inPlace());
    await place(wanted);
    expect((await readdir(inPlace())).sort()).toEqual(["a", "b"]);
  });

  test("of another version take the place of the old ones at once, without a file of theirs", async () => {
    const other = await skill("other", { "other/SKILL.md": "# other" });
    await place([await skill("a", { "a/SKILL.md": "# 1", "a/old": "1" }), other]);
    const begun = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const bytes = await zipped({ "a/SKILL.md": "# 2", "a/new": "2" });
    const next = archived("a", bytes, () =>
      Readable.from(
        (async function* () {
          yield bytes.subarray(0, 20);
          begun.resolve();
          await gate.promise;
          yield bytes.subarray(20);
        })(),
      ),
    );
    const placing = place([next, other]);
    await begun.promise;
    expect((await readdir(inPlace("a"))).sort()).toEqual(["SKILL.md", "old"]);
    gate.resolve();
    await placing;
    expect((await readdir(inPlace("a"))).sort()).toEqual(["SKILL.md", "new"]);
    expect(await contents("a/SKILL.md")).toBe("# 2");
    await place([other]);
    expect(await readdir(inPlace())).toEqual(["other"]);
  });

  test("are put in order again after a server that died, or a turn that was stopped, in the middle of it", async () => {
    const wanted = [await skill("a", { "a/SKILL.md": "# a" }), await skill("b", { "b/SKILL.md": "# b" })];
    await mkdir(join(volume.path, "skills.staged", "fresh"), { recursive: true });
    await writeFile(join(volume.path, "skills.staged", "fresh", "half"), "x");
    await mkdir(inPlace("a"));
    await writeFile(inPlace("a", "left"), "of another version");
    const stopped = new AbortController();
    const bytes = await zipped({ "c/SKILL.md": "# c" });
    const held = archived("c", bytes, () =>
      Readable.from(
        (async function* () {
          yield bytes.subarray(0, 20);
          stopped.abort();
          yield bytes.subarray(20);
        })(),
      ),
    );
    await expect(place([...wanted, held], { signal: stopped.signal })).rejects.toThrow(/abort/i);
    await place(wanted);
    expect((await readdir(inPlace())).sort()).toEqual(["a", "b"]);
    expect(await readdir(inPlace("a"))).toEqual(["SKILL.md"]);
    expect((await readdir(volume.path)).sort()).toEqual(["skills", "skills.json"]);
  });
});

describe("an archive that was changed behind the upload's back", () => {
  const [LINK, DEVICE] = [0o120777, 0o060644];
  const patched = (bytes: Buffer, from: string, to: string): Buffer =>
    Buffer.from(bytes.toString("latin1").replaceAll(from, to), "latin1");
  /** By its last record, which is what is believed before anything is read. */
  const many = async (): Promise<Buffer> => {
    const bytes = await zipped({ "x/a": "1" });
    bytes.writeUInt16LE(60_000, bytes.length - 12);
    return bytes;
  };
  const zeroes = { content: Buffer.alloc(16 * 1024 * 1024), mode: 0o100644 };
  const lying = async (): Promise<Buffer> => {
    const bytes = await zipped({ "x/a": zeroes });
    bytes.writeUInt32LE(10, bytes.lastIndexOf("PK\u0001\u0002", undefined, "latin1") + 24);
    return bytes;
  };
  test.each<[string, () => Promise<Buffer>, RegExp]>([
    ["leads out", async () => patched(await zipped({ "x/aaaaaaaa": "1" }), "x/aaaaaaaa", "../../evil"), /relative path|path/i],
    ["leads out by a later part", async () => patched(await zipped({ "x/aaaaaaaa": "1" }), "x/aaaaaaaa", "x/../../yy"), /path/i],
    ["has a link", () => zipped({ "x/l": { content: "/etc", mode: LINK }, "x/l/passwd": "x" }), /neither a file/],
    ["has a device", () => zipped({ "x/d": { content: "", mode: DEVICE } }), /neither a file/],
    ["has a file and a directory of one name", () => zipped({ "x/a": "1", "x/a/b": "2" }), /file and a directory/],
    ["has two top folders", () => zipped({ "x/a": "1", "y/a": "2" }), /same folder/],
    ["says it has 60,000 entries", many, /2000 files/],
    ["is a bomb", () => zipped({ "x/a": zeroes, "x/b": zeroes }), /bytes/],
    ["is a bomb that says it is none", lying, /zip archive/],
    ["is no archive", async () => Buffer.from("x".repeat(1_000)), /zip archive/],
  ])("and %s is refused whole, and the others are placed", async (_, make, problem) => {
    const good = await skill("good", { "good/SKILL.md": "# good" });
    const bad = archived("bad", await make());
    const problems = await place([bad, good]);
    expect([...problems.keys()]).toEqual(["bad"]);
    expect(problems.get("bad")).toMatch(problem);
    expect(await readdir(inPlace())).toEqual(["good"]);
    expect(await readdir(volume.path)).toEqual(["skills"]);
  });
});

describe("nothing may run", () => {
  test("while a skill cannot be had", async () => {
    const broken = archived("a", Buffer.from("a"), () => {
      throw new BlobsUnavailable("connection", new Error("503"));
    });
    await expect(place([broken])).rejects.toMatchObject({ code: "unavailable", message: expect.stringMatching(/store/) });
    stored.delete(broken.sha256);
    await expect(place([broken])).rejects.toMatchObject({ code: "unavailable" });
  });

  test("when the disk is full", async () => {
    // A process that may write no file longer than 64 kB: the same answer of the system as that of a full disk.
    const limited = 'ulimit -f 64; exec "$0" "$@"';
    const { stdout } = await promisify(execFile)("sh", ["-c", limited, process.execPath, FULL_DISK, volume.path]);
    expect(stdout).toBe("unavailable: there is no room on the server's disk for the session's skills");
    expect(await readdir(inPlace())).toEqual([]);
  });

  test("when all of them together are too large", async () => {
    const wanted = [await skill("a", { "a/f": "x".repeat(600) }), await skill("b", { "b/f": "x".repeat(600) })];
    await expect(place(wanted, { bytesMax: 1_000 })).rejects.toMatchObject({ code: "limit" });
    await place(wanted, { bytesMax: 1_200 });
  });
});
