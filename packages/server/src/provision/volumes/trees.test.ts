import { existsSync } from "node:fs";
import { mkdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CHUNK_BYTES, captureTree } from "./capture-tree.ts";
import { TooManyEntries } from "./too-many-entries.ts";
import { createTreeThreads, type TreeThreads } from "./tree-threads.ts";
import { bash, expectSameTree, Trees } from "./trees.fixture.ts";
import { walkTrees } from "./walk-tree.ts";

const isRoot = process.getuid?.() === 0;
let threads: TreeThreads;
let trees: Trees;
let a: string;
let b: string;

beforeAll(() => {
  threads = createTreeThreads();
});
afterAll(() => threads.close());

beforeEach(async () => {
  trees = await Trees.create(threads);
  [a, b] = [join(trees.dir, "a"), join(trees.dir, "b")];
  for (const root of [a, b]) for (const name of ["home", "workspace"]) await mkdir(join(root, name), { recursive: true });
});
afterEach(() => bash('chmod -R u+rwX "$1" && rm -rf "$1"', trees.dir));

/** Changes within one tick of the clock cannot be told apart: what is made now shall be older than that. */
async function settle(path: string): Promise<void> {
  await expect.poll(async () => Date.now() - (await stat(path)).ctimeMs, { timeout: 60_000 }).toBeGreaterThan(150);
}

describe("what is captured and restored", () => {
  test("has the same names, types, modes, times, links and content", async () => {
    await bash(
      `cd "$1/workspace"
       mkdir -p src/deep/er empty && echo hello > src/a.txt && : > src/nothing && printf '\\0' > zero
       head -c 20000000 /dev/urandom > large && head -c 300000 /dev/urandom > src/deep/medium
       ln -s src/a.txt link && ln -s /etc/passwd outward && ln -s nowhere dangling && ln src/a.txt src/deep/again
       chmod 755 src/a.txt && chmod 2750 src/deep && chmod 1777 empty && chmod 400 zero
       touch -d '2001-02-03 04:05:06.123456' src/a.txt src/deep && touch -h -d '1999-01-01' link
       touch -- $'new\\nline' ' ' -rf 'ä ö' $'\\xff\\xfe' a.b a && mkdir a-b && touch a-b/x
       mkfifo pipe && python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'
       truncate -s 100M holes && printf x | dd of=holes bs=1 seek=50000000 conv=notrunc status=none
       truncate -s 1T hollow`,
      a,
    );
    const captured = await trees.capture(a, null);
    expect(captured.captured).toMatchObject({ hasChanged: true, omitted: { count: 0, shown: [] } });
    await trees.restore(captured, b);
    await bash('rm "$1/workspace/pipe" "$1/workspace/sock" "$1/workspace/hollow" "$2/workspace/hollow"', a, b);
    await bash('touch -r "$1/workspace" "$2/workspace"', a, b);
    await expectSameTree(b, a);
    const holes = await stat(join(b, "workspace/holes"));
    expect([holes.size, holes.blocks * 512 <= 2 * CHUNK_BYTES]).toEqual([100 * 1024 * 1024, true]);
  });

  test("may be closed to its own user, and stays so", async () => {
    await bash(
      'cd "$1/home" && mkdir -p closed/inner && echo x > closed/inner/file && chmod 0 closed/inner/file closed/inner closed',
      a,
    );
    const captured = await trees.capture(a, null);
    expect(captured.captured).toMatchObject({ entries: 5, omitted: { count: 0 } });
    await trees.restore(captured, b);
    for (const root of [a, b]) {
      expect((await stat(join(root, "home/closed"))).mode & 0o777).toBe(0);
      await bash('chmod -R u+rwX "$1"', join(root, "home/closed"));
      expect((await stat(join(root, "home/closed/inner/file"))).size).toBe(2);
    }
  });

  test.skipIf(!isRoot)("belongs to the volume's owner", async () => {
    await bash('cd "$1/home" && mkdir d && echo x > d/file && ln -s file d/link && chmod 4755 d/file', a);
    await trees.restore(await trees.capture(a, null), b, { uid: 1234, gid: 1234 });
    await bash('test "$(find "$1/home" ! -uid 1234 | wc -l)" = 0 && test "$(stat -c %a "$1/home/d/file")" = 4755', b);
  });

  test("thousands of small files are one blob", async () => {
    await bash('cd "$1/workspace" && mkdir d && seq 3000 | split -l 1 -a 4 - d/f', a);
    const captured = await trees.capture(a, null);
    expect(captured.captured).toMatchObject({ entries: 3_003 });
    expect(trees.blobs.size).toBe(1);
    await trees.restore(captured, b);
    await bash('touch -r "$1/workspace" "$2/workspace"', a, b);
    await expectSameTree(b, a);
  });

  test("a tree that is deeper than anybody needs is left out from there on, and said", async () => {
    const dig = "import os; os.chdir('workspace')\nfor i in range(1000): os.mkdir('d'); os.chdir('d')";
    await bash('cd "$1" && python3 -c "$2"', a, dig);
    const { captured, entriesPath } = await trees.capture(a, null);
    expect(captured.omitted).toMatchObject({ count: 1, shown: [expect.stringContaining("400 directories deep")] });
    await trees.restore({ captured, entriesPath }, b);
    await bash('rm -rf "$1"', a);
  });
});

describe("a tree with paths that no program can name", () => {
  /** Directories inside each other with names of 255 bytes, which take six in JSON; in the deepest a file with five names. */
  const dig = `import os; os.chdir('workspace')
for i in range(60): os.mkdir('\\x01' * 255); os.chdir('\\x01' * 255)
open('f', 'w').close()
for i in range(4): os.link('f', 'g%d' % i)`;

  test("is left out from there on, and that is said in few words", async () => {
    await bash('cd "$1" && python3 -c "$2" && echo x > home/kept', a, dig);
    const captured = await trees.capture(a, null);
    const { count, shown } = captured.captured.omitted;
    expect([count, shown]).toEqual([1, [expect.stringMatching(/ \(a path of more than 4096 bytes\)$/)]]);
    expect(shown[0]?.length).toBeLessThan(300);
    // home, its file, workspace, and 15 directories.
    expect(captured.captured.entries).toBe(18);
    expect((await stat(captured.entriesPath)).size).toBeLessThan(250_000);
    await trees.restore(captured, b);
    await bash('test "$(find "$1/workspace" -mindepth 1 | wc -l)" = 15 && rm -rf "$2/workspace"', b, a);
  });

  test("and one whose list takes too many bytes is refused before they are written", async () => {
    await bash('cd "$1/workspace" && for i in $(seq 1000); do echo > "a file with a name $i"; done', a);
    await settle(join(a, "workspace/a file with a name 1000"));
    const { entriesPath } = await trees.capture(a, null);
    const { size } = await stat(entriesPath);
    expect((await trees.capture(a, null, undefined, { manifestBytesMax: size })).captured.entries).toBe(1_002);
    const refused = trees.capture(a, null, undefined, { manifestBytesMax: size - 1 });
    await expect(refused).rejects.toThrow(TooManyEntries);
    await expect(refused).rejects.toThrow(/^the list of the files takes more than \d+ bytes$/);
  });
});

describe("more names than a volume may have", () => {
  // Of one file: it costs its directory some bytes for each.
  const fill = `import os
os.mkdir('workspace/d'); open('workspace/d/f', 'w').close()
for i in range(3000): os.link('workspace/d/f', 'workspace/d/%d' % i)`;

  test("are not all read, and none of them is looked at", async () => {
    await bash('cd "$1" && python3 -c "$2"', a, fill);
    const walk = (entriesMax: number) => walkTrees(a, ["workspace"], { entriesMax, omit: () => undefined });
    expect([...walk(3_003)].length).toBe(3_003);
    const found: string[] = [];
    const look = (): void => {
      for (const { path } of walk(3_002)) found.push(path);
    };
    expect(look).toThrow(TooManyEntries);
    expect(found).toEqual(["workspace", "workspace/d"]);
  });

  test("refuse the capture, also when nothing would be kept of them", async () => {
    await bash('cd "$1/workspace" && mkfifo pipe && for i in 1 2 3 4 5 6; do ln pipe $i; done', a);
    expect((await trees.capture(a, null, undefined, { entriesMax: 9 })).captured.entries).toBe(2);
    const refused = trees.capture(a, null, undefined, { entriesMax: 8 });
    await expect(refused).rejects.toThrow(TooManyEntries);
    await expect(refused).rejects.toThrow(/^there are more than 8 files and directories$/);
  });
});

describe("links", () => {
  test("are never followed, not even one in the place of the directory that is walked", async () => {
    const secret = join(trees.dir, "secret");
    await mkdir(secret);
    await writeFile(join(secret, "key"), "the server's own");
    await rm(join(a, "workspace"), { recursive: true });
    await symlink(secret, join(a, "workspace"));
    const { captured } = await trees.capture(a, null);
    expect(captured).toMatchObject({ entries: 2, bytes: 0 });
    expect(trees.blobs.size).toBe(0);
  });

  test("that are swapped in while the walk goes on lead nowhere", async () => {
    const secret = join(trees.dir, "secret");
    await bash(
      'mkdir -p "$1" && for i in $(seq 50); do echo secret > "$1/f$i"; done; cp -r "$1" "$2/workspace/d"; sed -i s/secret/public/ "$2"/workspace/d/*',
      secret,
      a,
    );
    const swap = bash('cd "$2/workspace" && for i in $(seq 100); do mv d e; ln -s "$1" d; rm d; mv e d; done', secret, a);
    let isSwapping = true;
    void swap.finally(() => {
      isSwapping = false;
    });
    while (isSwapping) await trees.capture(a, null);
    await swap;
    for (const content of trees.blobs.values()) expect(Buffer.from(content).includes("secret")).toBe(false);
  });
});

describe("the next capture", () => {
  test("reads and stores only what has changed", async () => {
    await bash('cd "$1/workspace" && seq 1000 | split -l 1 -a 3 - f && head -c 40000000 /dev/urandom > large', a);
    await settle(join(a, "workspace/large"));
    const first = await trees.capture(a, null);
    trees.stored = 0;
    const same = await trees.capture(a, first);
    expect(same.captured).toMatchObject({ hasChanged: false, storedBytes: 0, entries: 1_003 });
    await bash(
      'cd "$1/workspace" && echo changed > faaa && printf x | dd of=large bs=1 seek=10000000 conv=notrunc status=none',
      a,
    );
    const changed = await trees.capture(a, same);
    expect(changed.captured).toMatchObject({ hasChanged: true, storedBytes: CHUNK_BYTES + "changed\n".length });
    expect(trees.stored).toBe(2);
    await trees.restore(changed, b);
    await bash('touch -r "$1/workspace" "$2/workspace"', a, b);
    await expectSameTree(b, a);
  });

  test("sees what was removed, renamed, and changed in nothing but its mode or time", async () => {
    await bash('cd "$1/workspace" && echo 1 > a && echo 2 > b && mkdir d && echo 3 > d/c', a);
    await settle(join(a, "workspace/d/c"));
    let last = await trees.capture(a, null);
    for (const change of ["rm a", "mv b c", "chmod 600 c", "touch -d 2001-01-01 d", "mv d e", "ln -s c l", "rm l"]) {
      await settle(join(a, "workspace"));
      last = await trees.capture(a, await trees.capture(a, last));
      expect([change, last.captured.hasChanged]).toEqual([change, false]);
      await bash(`cd "$1/workspace" && ${change} && touch -d 2000-01-01 .`, a);
      last = await trees.capture(a, last);
      expect([change, last.captured.hasChanged]).toEqual([change, true]);
    }
  });

  test("of a restored volume reads nothing again", async () => {
    await bash('cd "$1/workspace" && seq 100 | split -l 1 - f && head -c 9000000 /dev/urandom > large', a);
    const restored = await trees.restore(await trees.capture(a, null), b);
    trees.stored = 0;
    const { captured } = await trees.capture(b, restored);
    expect([captured.hasChanged, trees.stored]).toEqual([false, 0]);
  });

  test("leaves packs that are mostly unused", async () => {
    await bash('cd "$1/workspace" && for i in $(seq 100); do head -c 20000 /dev/urandom > f$i; done', a);
    await settle(join(a, "workspace/f100"));
    const first = await trees.capture(a, null);
    await bash('cd "$1/workspace" && rm f1* f2* f3* f4* f5* f6* f7* f8*', a);
    const second = await trees.capture(a, first);
    expect(second.captured.blobs.map(({ sizeBytes }) => sizeBytes)).toEqual([2_000_000]);
    const third = await trees.capture(a, second);
    expect(third.captured.blobs.map(({ sizeBytes }) => sizeBytes)).toEqual([220_000]);
    await trees.restore(third, b);
    await bash('touch -r "$1/workspace" "$2/workspace"', a, b);
    await expectSameTree(b, a);
  });
});

test("files with holes are read up to so many bytes of holes, in all; those without content for nothing", async () => {
  const make = "truncate -s 20M a b c && for f in a b c; do printf x | dd of=$f bs=1 seek=9000000 conv=notrunc status=none; done";
  await bash(`cd "$1/workspace" && ${make} && truncate -s 1T hollow hollower`, a);
  await settle(join(a, "workspace/c"));
  const captured = await trees.capture(a, null, undefined, { holeBytesMax: 45_000_000 });
  expect(captured.captured.omitted).toEqual({ count: 1, shown: [expect.stringMatching(/^workspace\/c \(files with holes/)] });
  await trees.restore(captured, b);
  await bash('cd "$1/workspace" && cmp a "$2/workspace/a" && test ! -e c && test "$(stat -c %s hollow)" = 1099511627776', b, a);
  // Those that are kept are not read again.
  const next = await trees.capture(a, captured, undefined, { holeBytesMax: 45_000_000 });
  expect(next.captured.omitted.count).toBe(0);
});

test("a capture stops within a file", async () => {
  await bash('cd "$1/workspace" && head -c 60000000 /dev/urandom > large', a);
  let stored = 0;
  const store = async (): Promise<null> => {
    stored++;
    return null;
  };
  const job = { root: a, names: ["workspace"], previous: null, entriesPath: join(trees.dir, "entries") };
  const checkStopped = (): void => {
    if (stored === 2) throw new Error("stopped");
  };
  await expect(captureTree(job, store, checkStopped)).rejects.toThrow("stopped");
  expect(stored).toBe(2);
});

test("who waits for captures of others can go, and files are brought meanwhile", async () => {
  await writeFile(join(a, "workspace/file"), "content");
  const captured = await trees.capture(a, null);
  const stop = new AbortController();
  const stuck = () => new Promise<never>(() => undefined);
  const job = (n: number) => ({ root: a, names: ["workspace"], previous: null, entriesPath: join(trees.dir, `stuck-${n}`) });
  const running = [1, 2].map((n) => threads.capture(job(n), stuck, stop.signal));
  const leave = new AbortController();
  const waiting = threads.capture(job(3), stuck, leave.signal);
  leave.abort(new Error("a turn begins"));
  await expect(waiting).rejects.toThrow("a turn begins");
  await trees.restore(captured, b);
  stop.abort(new Error("enough"));
  await Promise.all(running.map((each) => expect(each).rejects.toThrow("enough")));
});

test("content that is not what was stored is refused", async () => {
  await writeFile(join(a, "workspace/file"), "content");
  const captured = await trees.capture(a, null);
  for (const sha256 of trees.blobs.keys()) trees.blobs.set(sha256, Buffer.from("Content"));
  await expect(trees.restore(captured, b)).rejects.toThrow(/another content/);
});

test("a capture stops when it is told to, with what the store threw or the signal says", async () => {
  await bash('cd "$1/workspace" && head -c 30000000 /dev/urandom > large', a);
  const entriesPath = join(trees.dir, "entries");
  const job = { root: a, names: ["workspace"], previous: null, entriesPath };
  const full = new Error("the disk is full");
  await expect(threads.capture(job, () => Promise.reject(full), new AbortController().signal)).rejects.toBe(full);
  const stop = new AbortController();
  const store = async (): Promise<void> => stop.abort(new Error("a turn begins"));
  const stopped = threads.capture(job, store, stop.signal);
  await expect(stopped).rejects.toThrow("a turn begins");
  expect(existsSync(entriesPath)).toBe(true);
});
