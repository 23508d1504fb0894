import { MEMORIES_PER_STORE_MAX } from "@sandbox0/protocol";
import { expect, test } from "vitest";
import { planSync, type SyncMode } from "./plan-sync.ts";

type Contents = Record<string, string>;

/** Contents stand for their hashes; the id of a memory is that of the path where it was first. */
function plan(sides: { base?: Contents; local?: Contents; remote?: Contents; unclear?: string[] }, mode: SyncMode = "both") {
  const { base = {}, local = {}, remote = {}, unclear = [] } = sides;
  const actions = planSync(
    {
      base: new Map(Object.entries(base)),
      local: {
        files: new Map(Object.entries(local).map(([path, sha256]) => [path, { sha256 }])),
        isUnclear: (path) => unclear.some((each) => path === each || path.startsWith(`${each}/`)),
      },
      remote: new Map(Object.entries(remote).map(([path, sha256]) => [path, { id: `id of ${path}`, sha256 }])),
    },
    mode,
  );
  return actions.map(({ type, path, ...rest }) => [type, path, ...Object.values(rest)].join(" "));
}

test("whoever has changed nothing gets the other's change", () => {
  expect(plan({ base: { "/a": "1" }, local: { "/a": "1" }, remote: { "/a": "1" } })).toEqual(["agree /a"]);
  expect(plan({ base: { "/a": "1" }, local: { "/a": "1" }, remote: { "/a": "2" } })).toEqual(["pull /a id of /a nothing"]);
  expect(plan({ base: { "/a": "1" }, local: { "/a": "2" }, remote: { "/a": "1" } })).toEqual(["update /a id of /a 1"]);
  expect(plan({ remote: { "/a": "1" } })).toEqual(["pull /a id of /a nothing"]);
  expect(plan({ local: { "/a": "1" } })).toEqual(["create /a false"]);
  expect(plan({ base: { "/a": "1" }, local: { "/a": "1" } })).toEqual(["remove /a"]);
  expect(plan({ base: { "/a": "1" }, remote: { "/a": "1" } })).toEqual(["delete /a id of /a 1"]);
});

test("both came to the same: nothing is sent", () => {
  expect(plan({ base: { "/a": "1" }, local: { "/a": "2" }, remote: { "/a": "2" } })).toEqual(["agree /a"]);
  expect(plan({ local: { "/a": "2" }, remote: { "/a": "2" } })).toEqual(["agree /a"]);
  expect(plan({ base: { "/a": "1" } })).toEqual(["forget /a"]);
});

test("both have changed it: the store wins, and a deletion loses against a text", () => {
  expect(plan({ base: { "/a": "1" }, local: { "/a": "2" }, remote: { "/a": "3" } })).toEqual(["pull /a id of /a changed"]);
  expect(plan({ local: { "/a": "2" }, remote: { "/a": "3" } })).toEqual(["pull /a id of /a changed"]);
  expect(plan({ base: { "/a": "1" }, remote: { "/a": "3" } })).toEqual(["pull /a id of /a deleted"]);
  expect(plan({ base: { "/a": "1" }, local: { "/a": "2" } })).toEqual(["create /a true"]);
});

test("what could not be read is neither deleted nor overwritten", () => {
  const base = { "/a": "1", "/dir/b": "1" };
  expect(plan({ base, remote: base, unclear: ["/a", "/dir"] })).toEqual([]);
  expect(plan({ base, remote: { "/a": "2", "/dir/b": "1", "/dir/c": "1" }, unclear: ["/a", "/dir"] })).toEqual([]);
});

test("a moved memory keeps its id, each once", () => {
  expect(plan({ base: { "/a": "1" }, local: { "/b": "1" }, remote: { "/a": "1" } })).toEqual(["rename /b id of /a 1 /a"]);
  expect(plan({ base: { "/a": "1" }, local: { "/b": "1", "/c": "1" }, remote: { "/a": "1" } })).toEqual([
    "rename /b id of /a 1 /a",
    "create /c false",
  ]);
  // A file becomes a directory, and the other way round.
  expect(plan({ base: { "/a": "1" }, local: { "/a/b": "1" }, remote: { "/a": "1" } })).toEqual(["rename /a/b id of /a 1 /a"]);
  expect(plan({ base: { "/a/b": "1" }, local: { "/a": "1" }, remote: { "/a/b": "1" } })).toEqual(["rename /a id of /a/b 1 /a/b"]);
});

test("where a path is taken yet, what takes it is deleted first", () => {
  const before = { "/a/x": "1", "/b/y": "2" };
  expect(plan({ base: before, local: { "/b": "1", "/a": "2" }, remote: before })).toEqual([
    "delete /a/x id of /a/x 1",
    "delete /b/y id of /b/y 2",
    "create /a false",
    "create /b false",
  ]);
  expect(plan({ base: { "/a": "1" }, local: { "/a/b": "2" }, remote: { "/a": "1" } })).toEqual([
    "delete /a id of /a 1",
    "create /a/b false",
  ]);
});

test("two that have changed places are changed, not moved", () => {
  const actions = plan({ base: { "/a": "1", "/b": "2" }, local: { "/a": "2", "/b": "1" }, remote: { "/a": "1", "/b": "2" } });
  expect(actions).toEqual(["update /a id of /a 1", "update /b id of /b 2"]);
});

test("a full store takes no more, and what is deleted makes room", () => {
  const full: Contents = {};
  for (let i = 0; i < MEMORIES_PER_STORE_MAX; i++) full[`/m/${i}`] = `${i}`;
  const { "/m/0": _, ...rest } = full;
  const plans = plan({ base: full, local: { ...rest, "/m/1": "new", "/x": "x", "/y": "y" }, remote: full });
  expect(plans.filter((action) => !action.startsWith("agree"))).toEqual([
    "delete /m/0 id of /m/0 0",
    "update /m/1 id of /m/1 1",
    "create /x false",
    "keep /y true",
  ]);
});

test("a store that is read only is mirrored", () => {
  const local = { "/a": "here", "/own": "1" };
  expect(plan({ base: { "/a": "1" }, local, remote: { "/a": "1", "/b": "1" } }, "mirror")).toEqual([
    "pull /a id of /a nothing",
    "pull /b id of /b nothing",
    "remove /own",
  ]);
});

test("a store that takes nothing any more keeps what it has, and the session what it wrote", () => {
  const base = { "/a": "1", "/b": "1", "/c": "1" };
  const local = { "/a": "2", "/c": "1", "/new": "1" };
  expect(plan({ base, local, remote: base }, "frozen")).toEqual([
    "keep /a false",
    "pull /b id of /b undeletable",
    "agree /c",
    "keep /new false",
  ]);
  expect(plan({ base, local, remote: {} }, "frozen")).toEqual(["keep /a false", "forget /b", "remove /c", "keep /new false"]);
});
