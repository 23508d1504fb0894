import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { BuildOrder } from "./mirror-builder.ts";
import { MIRROR_FRESH_MS, type Mirrors, type MirrorsDeps, type MirrorUser, openMirrors } from "./mirrors.ts";

const WAIT = { timeout: 60_000, interval: 5 };
const USER: MirrorUser = { sessionId: "sesn_1", workspaceId: "wrkspc_1", url: "https://github.com/owner/name" };

let dir: string;
let nowMs: number;
let orders: BuildOrder[];
let problems: unknown[];
let open: Mirrors[];
/** What a build does. */
let build: (order: BuildOrder, signal: AbortSignal) => Promise<boolean>;

beforeEach(() => {
  dir = join(mkdtempSync(join(tmpdir(), "sandbox0-mirrors-")), "repositories");
  nowMs = 1_800_000_000_000;
  [orders, problems, open] = [[], [], []];
  build = async ({ into }) => {
    writeFileSync(join(into, "refs"), `build ${orders.length}\n`);
    return true;
  };
});

afterEach(async () => {
  await Promise.all(open.map((mirrors) => mirrors.close()));
  rmSync(dirname(dir), { recursive: true });
});

function openHere(bounds: MirrorsDeps["bounds"] = {}): Mirrors {
  const mirrors = openMirrors({
    dir,
    build: (order, signal) => {
      orders.push(order);
      return build(order, signal);
    },
    now: () => nowMs,
    bounds,
    onProblem: (problem) => problems.push(problem),
  });
  open.push(mirrors);
  return mirrors;
}

const madeBy = async (mirrors: Mirrors, user = USER): Promise<string> => {
  await vi.waitFor(() => expect(mirrors.use(user)).not.toBeNull(), WAIT);
  return mirrors.use(user) ?? "";
};

test("is made in the background, once, for whoever asks first", async () => {
  const mirrors = openHere();
  expect(mirrors.use(USER)).toBeNull();
  expect(mirrors.use({ ...USER, sessionId: "sesn_2" })).toBeNull();
  const path = await madeBy(mirrors);
  expect(orders).toMatchObject([{ sessionId: "sesn_1", url: USER.url, seed: null }]);
  expect(readdirSync(path)).toEqual(["refs"]);
  // Nobody on the host finds it by looking.
  expect([dir, dirname(path), path].map((each) => statSync(each).mode & 0o777)).toEqual([0o711, 0o711, 0o755]);
  expect(basename(path)).toMatch(/^[0-9a-f]{32}$/);
});

test("is its workspace's and its URL's alone", async () => {
  const mirrors = openHere();
  const path = await madeBy(mirrors);
  const others = [
    { ...USER, workspaceId: "wrkspc_2" },
    { ...USER, url: "https://github.com/owner/other" },
    { ...USER, workspaceId: "", url: `wrkspc_1${USER.url}` },
  ];
  for (const other of others) {
    expect(mirrors.use(other)).toBeNull();
    expect(dirname(await madeBy(mirrors, other))).not.toBe(dirname(path));
  }
});

test("that has grown old is used still, and made anew from itself", async () => {
  const mirrors = openHere();
  const first = await madeBy(mirrors);
  nowMs += MIRROR_FRESH_MS + 1;
  expect(mirrors.use(USER)).toBe(first);
  await vi.waitFor(() => expect(mirrors.use(USER)).not.toBe(first), WAIT);
  expect(orders[1]).toMatchObject({ seed: first });
  // A sandbox may still be copying from it.
  expect(readdirSync(first)).toEqual(["refs"]);
  nowMs += 2 * MIRROR_FRESH_MS;
  mirrors.use(USER);
  await vi.waitFor(() => expect(() => statSync(first)).toThrow(/ENOENT/), WAIT);
});

test("that cannot be made is done without, and leaves nothing; it is not tried again at once", async () => {
  const mirrors = openHere();
  build = async ({ into }) => {
    writeFileSync(join(into, "half"), "");
    throw new Error("no way out");
  };
  expect(mirrors.use(USER)).toBeNull();
  await vi.waitFor(() => expect(problems).toHaveLength(1), WAIT);
  const [home = ""] = readdirSync(dir);
  expect(readdirSync(join(dir, home))).toEqual([]);
  expect(mirrors.use(USER)).toBeNull();
  expect(orders).toHaveLength(1);
  nowMs += MIRROR_FRESH_MS;
  mirrors.use(USER);
  expect(orders).toHaveLength(2);
});

test("of nothing is none", async () => {
  const mirrors = openHere();
  let isDone = false;
  build = async () => {
    isDone = true;
    return false;
  };
  mirrors.use(USER);
  await vi.waitFor(() => expect(isDone).toBe(true), WAIT);
  expect(mirrors.use(USER)).toBeNull();
  expect(problems).toEqual([]);
});

test("that a clone failed with is not used again", async () => {
  const mirrors = openHere();
  const path = await madeBy(mirrors);
  mirrors.drop(USER);
  expect(mirrors.use(USER)).toBeNull();
  expect(await madeBy(mirrors)).not.toBe(path);
});

test("none is made while there is too much of them, also of those that are replaced and still used", async () => {
  const mirrors = openHere({ bytesMax: 100, clearMs: 5 });
  const other = { ...USER, url: "https://github.com/owner/other" };
  build = async ({ into }) => {
    writeFileSync(join(into, "refs"), "x".repeat(60));
    return true;
  };
  const first = await madeBy(mirrors);
  mirrors.drop(USER);
  const second = await madeBy(mirrors);
  expect(mirrors.use(other)).toBeNull();
  expect(orders).toHaveLength(2);
  // Nobody asks for a build, and what is left over goes all the same.
  nowMs += MIRROR_FRESH_MS + 1;
  await vi.waitFor(() => expect(() => statSync(first)).toThrow(/ENOENT/), WAIT);
  expect(statSync(second).isDirectory()).toBe(true);
  await madeBy(mirrors, other);
  expect(problems).toEqual([]);
});

test("outlives its server, but for what was not complete", async () => {
  const path = await madeBy(openHere());
  build = (_order, signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("ended"))));
  const second = openHere();
  nowMs += MIRROR_FRESH_MS + 1;
  expect(second.use(USER)).toBe(path);
  await vi.waitFor(() => expect(readdirSync(dirname(path))).toHaveLength(2), WAIT);
  await second.close();
  expect(readdirSync(dirname(path))).toEqual([basename(path)]);
  writeFileSync(join(dirname(path), "part-of-a-server-that-was-killed"), "");
  expect(openHere().use(USER)).toBe(path);
  await vi.waitFor(() => expect(readdirSync(dirname(path)).sort()).not.toContain("part-of-a-server-that-was-killed"), WAIT);
  expect(problems).toEqual([]);
});
