import { randomBytes } from "node:crypto";
import { existsSync, lstatSync, readFileSync, readlinkSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  digestOf,
  imageArchive,
  type ImageEntry,
  imageFiles,
  savedArchive,
  tarOf,
  type TestImage,
} from "../../testing/image-archive.ts";
import type { ImageFacts } from "./finish-root.ts";
import { type ImageBounds, unpackImage } from "./unpack-image.ts";

const MIB = 1024 ** 2;
const BOUNDS: ImageBounds = { bytesMax: 256 * MIB, entriesMax: 150_000 };
const architecture = process.arch === "x64" ? "amd64" : process.arch;

let outer: string;
let dir: string;
beforeEach(async () => {
  outer = await mkdtemp(join(tmpdir(), "sandbox0-unpack-"));
  dir = join(outer, "inner");
  await mkdir(dir);
  await writeFile(join(outer, "secret"), "the host's");
});
afterEach(() => rm(outer, { recursive: true }));

function unpack(archive: Buffer, bounds: Partial<ImageBounds> = {}, lines: string[] = []): Promise<ImageFacts> {
  const pieces = Array.from({ length: Math.ceil(archive.length / 65_536) }, (_, i) =>
    archive.subarray(i * 65_536, (i + 1) * 65_536),
  );
  const options = { architecture, bounds: { ...BOUNDS, ...bounds }, onProgress: (line: string) => void lines.push(line) };
  return unpackImage(Readable.from(pieces), dir, options);
}
const unpackLayers = async (...layers: ImageEntry[][]) => unpack(await imageArchive({ layers }));
const at = (path: string): string => join(dir, "root", path);
const read = (path: string): string => readFileSync(at(path), "utf8");
const file = (name: string, content = name): ImageEntry => ({ name, content });
const link = (name: string, linkname: string): ImageEntry => ({ name, type: "symlink", linkname });
const hardLink = (name: string, linkname: string): ImageEntry => ({ name, type: "link", linkname });
const directory = (name: string): ImageEntry => ({ name, type: "directory" });

describe("an image is unpacked", () => {
  const image: TestImage = {
    layers: [
      [directory("opt"), file("opt/a"), file("etc/os-release", "NAME=test\n")],
      [file("opt/a", "second"), file("opt/b")],
    ],
    env: ["PATH=/opt/bin:/bin", "LANG=C.UTF-8", "LD_PRELOAD=/lib/evil.so", "HOME=/root", "1=x", "NODE_OPTIONS=--require=/x"],
  };

  test.each([
    ["in the OCI layout", () => imageArchive(image)],
    ["with layers compressed by gzip", () => imageArchive({ ...image, compression: "gzip" })],
    ["with layers compressed by zstd", () => imageArchive({ ...image, compression: "zstd" })],
    ["compressed as a whole", async () => gzipSync(await imageArchive(image))],
    ["as docker save wrote it once", () => savedArchive(image)],
  ])("%s", async (_name, make) => {
    const facts = await unpack(await make());
    expect(facts).toEqual({
      digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      env: { PATH: "/opt/bin:/bin:/opt/sandbox0/bin", LANG: "C.UTF-8" },
      caPlaces: ["/etc/ssl/certs/ca-certificates.crt"],
      bashAt: "/bin/bash",
    });
    expect([read("opt/a"), read("opt/b"), read("etc/os-release")]).toEqual(["second", "opt/b", "NAME=test\n"]);
    expect(await readdir(dir)).toEqual(["root"]);
  });

  test("with its user, its names and the server's shell in it, whatever it had there", async () => {
    await unpackLayers([
      file("etc/passwd", "root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\nagent:x:7:7::/:/bin/false\n"),
      link("etc/resolv.conf", "../../../secret"),
      link("etc/hosts", "/run/hosts"),
      directory("usr/bin"),
      link("bin", "usr/bin"),
      file("usr/bin/bash", "its own"),
      directory("etc/apt"),
      link("var/tmp", "/tmp"),
      link("opt/sandbox0", "../../../.."),
    ]);
    expect(
      read("etc/passwd")
        .split("\n")
        .map((line) => line.split(":").slice(0, 3).join(":")),
    ).toEqual(["root:x:0", "agent:x:1000", "nobody:x:65534", "node:x:1000", ""]);
    expect([readlinkSync(at("usr/bin/bash")), readlinkSync(at("usr/bin/sh"))]).toEqual(Array(2).fill("/opt/sandbox0/bin/bash"));
    expect([read("etc/resolv.conf"), lstatSync(at("etc/hosts")).isFile()]).toEqual(["", true]);
    expect(lstatSync(at("opt/sandbox0")).isDirectory()).toBe(true);
    expect(read("etc/apt/apt.conf.d/99sandbox0")).toContain("APT");
    expect(readFileSync(join(outer, "secret"), "utf8")).toBe("the host's");
  });

  test("with what its upper layers say is gone, and links followed as the image itself would", async () => {
    await unpackLayers(
      [
        file("a/one"),
        file("a/two"),
        file("b/old/one"),
        file("b/new"),
        file("real/x"),
        link("way", "/real"),
        link("up", "../../../../real"),
      ],
      [
        file("a/.wh.one", ""),
        file("b/kept"),
        file("b/.wh..wh..opq", ""),
        file("b/late/file"),
        file("way/y"),
        file("up/z"),
        file("a/again"),
        file("a/.wh.again", ""),
        file("missing/.wh.nothing", ""),
        file(".wh..wh.plnk", ""),
      ],
    );
    expect((await readdir(at("a"))).sort()).toEqual(["again", "two"]);
    expect((await readdir(at("b"))).sort()).toEqual(["kept", "late"]);
    expect((await readdir(at("real"))).sort()).toEqual(["x", "y", "z"]);
  });

  test("with times, without owners, rights and devices", async () => {
    const mtime = new Date(1_700_000_000_000);
    await unpackLayers([
      { name: "usr/bin/su", mode: 0o4755, uid: 0, content: "x", mtime },
      { name: "usr/closed", mode: 0o600, content: "y" },
      { name: "usr/dir", type: "directory", mode: 0o1777 },
      { name: "usr/disk", type: "block-device", devmajor: 8, devminor: 0 },
      { name: "usr/null", type: "character-device", devmajor: 0, devminor: 0 },
      { name: "usr/pipe", type: "fifo" },
      hardLink("usr/again", "usr/closed"),
    ]);
    const modes = ["usr/bin/su", "usr/closed", "usr/dir"].map((path) => (lstatSync(at(path)).mode & 0o7777).toString(8));
    expect(modes).toEqual(["755", "644", "755"]);
    expect(lstatSync(at("usr/bin/su")).mtimeMs).toBe(mtime.getTime());
    expect(["usr/disk", "usr/null", "usr/pipe"].filter((path) => existsSync(at(path)))).toEqual([]);
    expect(read("usr/again")).toBe("y");
  });

  test("of 100,000 files", { timeout: 600_000 }, async () => {
    const entries = Array.from({ length: 100_000 }, (_, i) => file(`usr/share/${i % 100}/${i}`, ""));
    await unpackLayers(entries);
    expect(await readdir(at("usr/share/7"))).toHaveLength(1000);
  });
});

describe("nothing is written outside by", () => {
  afterEach(async () => {
    expect(await readdir(outer)).toEqual(["inner", "secret"]);
    expect(readFileSync(join(outer, "secret"), "utf8")).toBe("the host's");
  });

  test.each<[string, ImageEntry[], RegExp]>([
    ["a path that leads up", [file("../../secret", "mine")], /"..\/..\/secret" leads out of it/],
    ["one that does so in the middle", [file("a/../../../secret", "mine")], /leads out of it/],
    ["the removal of what is above", [file("a/.wh...", "")], /removes no name/],
    ["the removal of its own directory", [file("a/.wh..", "")], /removes no name/],
    ["the removal of nothing", [file("a/.wh.", "")], /removes no name/],
    ["a second name of what is outside", [hardLink("mine", "../../secret")], /leads out of it/],
    ["a second name of what is outside, by a link", [link("out", "../.."), hardLink("mine", "out/secret")], /which is not there/],
    ["a second name of a directory", [directory("d"), hardLink("mine", "d")], /which is not there/],
    ["links that go round", [link("a", "b"), link("b", "a"), file("a/x")], /leads round in circles/],
    ["a file where a directory is needed", [file("f"), file("f/x")], /is not in a directory/],
    ["a system that is a file", [file("etc")], /its \/etc is no directory/],
    ["a system that is elsewhere", [link("usr", "../../secret")], /its \/usr is no directory/],
    ["programs that are a file", [file("bin")], /\/bin is not in a directory/],
  ])("%s", async (_name, entries, message) => {
    await expect(unpackLayers(entries)).rejects.toThrow(message);
  });

  test("links to everywhere, and what is written over and through them", async () => {
    await unpackLayers(
      [
        link("abs", outer),
        link("rel", "../.."),
        link("leaf", "../../secret"),
        file("/abs/one"),
        file("rel/two"),
        link("x", "/../../.."),
      ],
      [
        file("leaf", "replaced"),
        file("abs/secret", "inside"),
        file("rel/secret", "inside"),
        file("x/three"),
        file("rel/.wh.two", ""),
      ],
    );
    expect(lstatSync(at("leaf")).isFile()).toBe(true);
    expect([read("secret"), read("three")]).toEqual(["inside", "x/three"]);
    expect(existsSync(at("two"))).toBe(false);
    expect(read(`${outer}/secret`)).toBe("inside");
  });
});

describe("it is refused with", () => {
  const layers = [[file("usr/a", "content")]];
  const changed = async (change: (entry: ImageEntry) => ImageEntry | null): Promise<Buffer> =>
    tarOf((await imageFiles({ layers })).flatMap((entry) => change(entry) ?? []));

  test.each<[string, () => Promise<Buffer>, RegExp]>([
    ["no archive at all", async () => Buffer.from("hello"), /damaged, or no image/],
    ["nothing", async () => Buffer.alloc(0), /neither an index.json nor a manifest.json/],
    ["an archive of something else", () => tarOf([file("readme")]), /neither an index.json nor a manifest.json/],
    ["its end cut off", async () => (await imageArchive({ layers })).subarray(0, 2000), /damaged, or no image|is not in it/],
    ["its compressed end cut off", async () => gzipSync(await imageArchive({ layers })).subarray(0, -20), /damaged, or no image/],
    ["a layer that is not in it", () => changed((entry) => (isLayer(entry) ? null : entry)), /sha256\/[0-9a-f]+ is not in it/],
    [
      "another layer than its digest says",
      () => changed((entry) => (isLayer(entry) ? { ...entry, content: Buffer.alloc(1024, 1) } : entry)),
      /the content of sha256:[0-9a-f]+ is sha256:/,
    ],
    [
      "an index that is no JSON",
      () => changed((entry) => (entry.name === "index.json" ? file("index.json", "{") : entry)),
      /index.json is no JSON/,
    ],
    [
      "a digest that is a path",
      () =>
        changed((entry) => (entry.name === "index.json" ? file("index.json", index({ digest: "sha256:../../secret" })) : entry)),
      /is no SHA-256 digest/,
    ],
    [
      "an index of other platforms",
      () =>
        changed((entry) =>
          entry.name === "index.json" ? file("index.json", index({ platform: { os: "linux", architecture: "s390x" } })) : entry,
        ),
      /it has no image for linux\/(amd64|arm64), but for linux\/s390x/,
    ],
    [
      "a configuration for another platform",
      () => imageArchive({ layers, architecture: "s390x" }),
      /it is an image for linux\/s390x/,
    ],
    ["more bytes than may be", () => imageArchive({ layers: [[file("usr/a", "x".repeat(2 * MIB))]] }), /more than 1048576 bytes/],
    [
      "a bomb of a layer",
      () => imageArchive({ layers: [[{ name: "usr/zeros", content: Buffer.alloc(64 * MIB) }]], compression: "gzip" }),
      /more than 1048576 bytes/,
    ],
    [
      "more files than may be",
      () => imageArchive({ layers: [Array.from({ length: 101 }, (_, i) => file(`usr/${i}`, ""))] }),
      /more than 100 files/,
    ],
    [
      "more directories than may be, of which only the last is named",
      () => imageArchive({ layers: [[file(`${"d/".repeat(101)}x`)]] }),
      /more than 100 files/,
    ],
    [
      "more layers than may be",
      () => imageArchive({ layers: Array.from({ length: 129 }, (_, i) => [file(`usr/${i}`, "")]) }),
      /more than 128 layers/,
    ],
    ["noise", async () => Buffer.concat([Buffer.from([0x1f, 0x8b]), randomBytes(4096)]), /damaged, or no image/],
    ["two images", async () => twoImages(), /it has 2 images: save one/],
  ])("%s", async (_name, make, message) => {
    await expect(unpack(await make(), { bytesMax: MIB, entriesMax: 100 })).rejects.toMatchObject({
      code: "image_refused",
      message: expect.stringMatching(message),
    });
  });

  function isLayer({ content }: ImageEntry): boolean {
    return content !== undefined && content.length >= 1024 && Buffer.from(content).includes("ustar");
  }
  function index(change: Record<string, unknown>): string {
    const manifest = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest: digestOf("nowhere"), size: 7, ...change };
    return JSON.stringify({ schemaVersion: 2, manifests: [manifest] });
  }
  async function twoImages(): Promise<Buffer> {
    const both = await Promise.all(["one", "two"].map((name) => imageFiles({ layers: [[file(`usr/${name}`)]] })));
    const manifests = both.flatMap((files) => JSON.parse(String(files.at(-1)?.content)).manifests);
    return tarOf([...both.flatMap((files) => files.slice(1, -1)), file("index.json", JSON.stringify({ manifests }))]);
  }
});
