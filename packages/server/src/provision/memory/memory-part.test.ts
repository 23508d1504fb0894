import { lchownSync, lstatSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { removeDeadMounts } from "./dead-mounts.ts";
import { createMemoryStage, type MemoryStage } from "./memory-stage.fixture.ts";

let stage: MemoryStage;
beforeAll(async () => {
  stage = await createMemoryStage();
});
afterAll(() => stage.close());

describe("two ways", () => {
  test("memories become files, files become memories, each change one version with its actor", async () => {
    const store = await stage.createStore();
    await store.write("/plan.md", "plan");
    await store.write("/deep/er/note", "note");
    const mount = await stage.createSession([store]);
    await mount.begin();
    expect([mount.read("/plan.md"), mount.read("/deep/er/note")]).toEqual(["plan", "note"]);
    expect(await mount.call()).toEqual([]);
    const { id } = await store.memory("/plan.md");

    mount.write("/plan.md", "better plan");
    mount.write("/new/ü.md", "");
    mount.delete("/deep");
    expect(await mount.call()).toEqual([]);
    expect(await store.contents()).toEqual({ "/plan.md": "better plan", "/new/ü.md": "" });
    expect((await store.memory("/plan.md")).id).toBe(id);
    const by = mount.sessionId;
    expect((await store.versions()).slice(0, 3).sort()).toEqual([`created by ${by}`, `deleted by ${by}`, `modified by ${by}`]);
    await mount.call();
    await mount.end();
    await mount.begin();
    await mount.end();
    expect(await store.versions()).toHaveLength(5);
  });

  test("a file that was moved stays the same memory", async () => {
    const store = await stage.createStore();
    await store.write("/a/old.md", "text");
    const { id } = await store.memory("/a/old.md");
    const mount = await stage.createSession([store]);
    await mount.begin();
    mount.delete("/a");
    mount.write("/a", "text");
    await mount.call();
    expect(await store.contents()).toEqual({ "/a": "text" });
    expect((await store.memory("/a")).id).toBe(id);
    expect(await store.versions()).toEqual([`modified by ${mount.sessionId}`, "created by user"]);
  });

  test("what others change is there behind the next call, and at the next turn", async () => {
    const store = await stage.createStore();
    await store.write("/a", "1");
    await store.write("/b/c", "1");
    await store.write("/b/d", "1");
    const mount = await stage.createSession([store]);
    await mount.begin();
    await store.write("/a", "2");
    await store.delete("/b/c");
    await store.move("/b/d", "/d");
    expect(await mount.call()).toEqual([]);
    expect([mount.read("/a"), mount.read("/b"), mount.read("/d")]).toEqual(["2", null, "1"]);
    await mount.end();
    await store.write("/a", "3");
    expect(mount.read("/a")).toBe("2");
    await mount.begin();
    expect(mount.read("/a")).toBe("3");
    expect((await store.versions()).filter((version) => version.includes(mount.sessionId))).toEqual([]);
  });

  test("a second change within the same instant is seen", async () => {
    const store = await stage.createStore();
    const mount = await stage.createSession([store]);
    await mount.begin();
    for (const text of ["one", "two", "six"]) {
      mount.write("/a", text);
      await mount.call();
      expect(await store.contents()).toEqual({ "/a": text });
    }
  });

  test("what is written between calls is stored when the turn ends, or by the next turn", async () => {
    const store = await stage.createStore();
    const mount = await stage.createSession([store]);
    await mount.begin();
    await mount.call();
    mount.write("/late", "late");
    await mount.end();
    expect(await store.contents()).toEqual({ "/late": "late" });
    mount.write("/later", "later");
    await mount.begin();
    expect(await store.contents()).toEqual({ "/late": "late", "/later": "later" });
  });

  test("files belong to the owner of the volume", async () => {
    const store = await stage.createStore();
    await store.write("/a/b", "1");
    const mount = await stage.createSession([store]);
    await mount.begin();
    const { uid } = statSync(mount.dir);
    expect(uid).toBe(process.getuid?.() === 0 ? 2_000_000_123 : process.getuid?.());
    for (const path of ["a", "a/b"]) expect(lstatSync(`${mount.dir}/${path}`).uid).toBe(uid);
  });

  test("calls that end at the same time store a change once", async () => {
    const store = await stage.createStore();
    const mount = await stage.createSession([store]);
    await mount.begin();
    for (let i = 0; i < 20; i++) mount.write(`/${i}`, `${i}`);
    await Promise.all(Array.from({ length: 8 }, () => mount.call()));
    expect(Object.keys(await store.contents())).toHaveLength(20);
    expect(await store.versions()).toHaveLength(20);
  });
});

describe("conflicts", () => {
  test("the store's text stays, the session's is put aside, and the agent is told", async () => {
    const store = await stage.createStore();
    await store.write("/plan.md", "plan");
    const [one, two] = [await stage.createSession([store]), await stage.createSession([store])];
    await one.begin();
    await two.begin();
    one.write("/plan.md", "plan of one");
    two.write("/plan.md", "plan of two");
    expect(await one.call()).toEqual([]);
    const [sentence = "", ...more] = await two.call();
    expect(more).toEqual([]);
    expect(sentence).toMatch(/^Somebody else .* has changed the memory "\/mnt\/memory\/notes\/plan.md" since you read it/);
    expect(two.readKept(sentence)).toBe("plan of two");
    expect(two.read("/plan.md")).toBe("plan of one");
    expect(await store.contents()).toEqual({ "/plan.md": "plan of one" });
    expect(await two.call()).toEqual([]);
    two.write("/plan.md", "plan of both");
    expect(await two.call()).toEqual([]);
    await one.call();
    expect(one.read("/plan.md")).toBe("plan of both");
    expect(await store.versions()).toEqual([`modified by ${two.sessionId}`, `modified by ${one.sessionId}`, "created by user"]);
  });

  test("two new files at one path, and one below the other", async () => {
    const store = await stage.createStore();
    const [one, two] = [await stage.createSession([store]), await stage.createSession([store])];
    await one.begin();
    await two.begin();
    one.write("/a", "one");
    one.write("/dir", "a file");
    two.write("/a", "two");
    two.write("/dir/below", "in a directory");
    await one.call();
    const said = await two.call();
    expect(said).toHaveLength(3);
    expect(two.readKept(said.find((sentence) => sentence.includes("notes/a")) ?? "")).toBe("two");
    expect(said).toContainEqual(expect.stringMatching(/"\/mnt\/memory\/notes\/dir\/below" is not saved .* memory at "\/dir"/));
    expect(said).toContainEqual(expect.stringMatching(/has a memory "\/mnt\/memory\/notes\/dir" that you cannot see/));
    expect(two.read("/dir/below")).toBe("in a directory");
    expect(await store.contents()).toEqual({ "/a": "one", "/dir": "a file" });
    expect(await two.call()).toEqual([]);
    two.delete("/dir");
    expect(await two.call()).toEqual([]);
    expect(two.read("/dir")).toBe("a file");
    expect(await store.contents()).toEqual({ "/a": "one", "/dir": "a file" });
  });

  test("a deletion gives way to a change, and a change makes good for a deletion", async () => {
    const store = await stage.createStore();
    await store.write("/a", "1");
    await store.write("/b", "1");
    const mount = await stage.createSession([store]);
    await mount.begin();
    mount.delete("/a");
    mount.write("/b", "2");
    await store.write("/a", "2");
    await store.delete("/b");
    const said = await mount.call();
    expect(said).toEqual([
      expect.stringMatching(/had deleted or moved the memory ".*\/b" while you changed it/),
      expect.stringMatching(/changed the memory ".*\/a" since you read it, so it was not deleted/),
    ]);
    expect(await store.contents()).toEqual({ "/a": "2", "/b": "2" });
    expect(mount.read("/a")).toBe("2");
  });

  test("a conflict at the turn's end is told behind the next call", async () => {
    const store = await stage.createStore();
    await store.write("/a", "1");
    const mount = await stage.createSession([store]);
    await mount.begin();
    mount.write("/a", "mine");
    await store.write("/a", "theirs");
    await mount.end();
    mount.restart();
    await mount.begin();
    const [sentence = ""] = await mount.call();
    expect(mount.readKept(sentence)).toBe("mine");
    expect(await mount.call()).toEqual([]);
  });
});

describe("a server that was killed", () => {
  test("before the push: the next turn here stores what was written, and begins with it", async () => {
    const store = await stage.createStore();
    await store.write("/a", "1");
    const mount = await stage.createSession([store]);
    await mount.begin();
    mount.write("/a", "2");
    mount.write("/b", "1");
    mount.restart();
    expect(await mount.isEager()).toBe(true);
    await mount.begin();
    expect(await store.contents()).toEqual({ "/a": "2", "/b": "1" });
    await mount.end();
    expect(await mount.isEager()).toBe(false);
    expect(await store.versions()).toHaveLength(3);
  });

  test("behind the push, and before that was noted: nothing is stored twice, and what was written since is no conflict", async () => {
    const store = await stage.createStore();
    await store.write("/a", "1");
    await store.write("/gone", "1");
    const mount = await stage.createSession([store]);
    await mount.begin();
    mount.write("/a", "2");
    mount.write("/b", "new");
    mount.delete("/gone");
    // All is stored, and the last answer does not come any more.
    stage.killAfterChanges(3);
    await expect(mount.call()).rejects.toThrow("killed");
    expect(await store.contents()).toEqual({ "/a": "2", "/b": "new" });
    mount.write("/a", "3");
    mount.restart();
    await mount.begin();
    expect(await mount.call()).toEqual([]);
    expect(await store.contents()).toEqual({ "/a": "3", "/b": "new" });
    const mine = (await store.versions()).filter((version) => version.endsWith(mount.sessionId));
    expect(mine.sort()).toEqual(["created", "deleted", "modified", "modified"].map((each) => `${each} by ${mount.sessionId}`));
  });
});

describe("the host", () => {
  test("started again after a power failure, what the disk does not have is fetched, not deleted or emptied", async () => {
    const store = await stage.createStore();
    for (const path of ["/missing", "/cut", "/whole", "/dropped"]) await store.write(path, path);
    const mount = await stage.createSession([store]);
    await mount.begin();
    const state = join(mount.dir, "..", "state.json");
    writeFileSync(state, readFileSync(state, "utf8").replace(/"boot":"[^"]+"/, '"boot":"the last one"'));
    mount.delete("/missing");
    mount.write("/cut", "");
    mount.write("/whole", "written before");
    mount.restart();
    await store.delete("/dropped");
    await mount.begin();
    expect(await store.contents()).toEqual({ "/missing": "/missing", "/cut": "/cut", "/whole": "written before" });
    expect([mount.read("/missing"), mount.read("/cut"), mount.read("/dropped")]).toEqual(["/missing", "/cut", null]);
    mount.delete("/missing");
    await mount.call();
    expect(Object.keys(await store.contents())).toEqual(["/cut", "/whole"]);
  });

  test("whose disk is full says so, and goes on when it is not", async () => {
    const store = await stage.createStore();
    await store.write("/a", "1");
    const mount = await stage.createSession([store]);
    await mount.begin();
    const incoming = join(mount.dir, "..", "incoming", "file");
    symlinkSync("/dev/full", incoming);
    await store.write("/a", "2");
    mount.write("/b", "1");
    expect(await mount.call()).toEqual([expect.stringMatching(/^The disk of this server is full or broken/)]);
    await mount.end();
    expect(mount.reported).toEqual([
      expect.objectContaining({ type: "unknown_error", message: expect.stringContaining("full") }),
    ]);
    expect(await mount.isEager()).toBe(true);
    await expect(mount.begin()).rejects.toMatchObject({ code: "unavailable", message: expect.stringContaining("ENOSPC") });
    rmSync(incoming);
    await mount.begin();
    expect(mount.read("/a")).toBe("2");
    expect(await store.contents()).toEqual({ "/a": "2", "/b": "1" });
    await mount.end();
    expect(await mount.isEager()).toBe(false);
  });

  test.runIf(process.getuid?.() === 0)("gives the files to the owner of a volume that was made again", async () => {
    const store = await stage.createStore();
    await store.write("/a/b", "1");
    const mount = await stage.createSession([store]);
    await mount.begin();
    const { uid } = statSync(mount.dir);
    for (const path of ["", "a", "a/b"]) lchownSync(join(mount.dir, path), uid + 1, uid + 1);
    symlinkSync("/etc/passwd", join(mount.dir, "link"));
    await mount.begin();
    for (const path of ["", "a", "a/b", "link"]) expect(lstatSync(join(mount.dir, path)).uid).toBe(uid);
    expect(statSync("/etc/passwd").uid).toBe(0);
  });
});

describe("read only", () => {
  test("the mount is, and the directory is what the store is", async () => {
    const store = await stage.createStore();
    await store.write("/a", "1");
    await store.write("/b", "1");
    const mount = await stage.createSession([store], "read_only");
    expect(await mount.part.equip?.(mount.session)).toMatchObject({ mounts: [{ at: "/mnt/memory/notes", writable: false }] });
    await mount.begin();
    expect(mount.read("/a")).toBe("1");
    await store.write("/a", "2");
    await store.delete("/b");
    expect(await mount.call()).toEqual([]);
    expect([mount.read("/a"), mount.read("/b")]).toEqual(["2", null]);
    // As after a crash of the machine.
    mount.write("/a", "broken");
    mount.write("/stray", "1");
    await mount.begin();
    expect([mount.read("/a"), mount.read("/stray")]).toEqual(["2", null]);
    expect(await store.contents()).toEqual({ "/a": "2" });
  });
});

describe("a store that is no longer", () => {
  test("archived, it takes nothing, and the agent is told once", async () => {
    const store = await stage.createStore();
    await store.write("/a", "1");
    await store.write("/b", "1");
    const mount = await stage.createSession([store]);
    await mount.begin();
    await store.archive();
    mount.write("/a", "2");
    mount.delete("/b");
    expect(await mount.call()).toEqual([
      expect.stringMatching(/memory ".*\/b" was not deleted, and the file is there again: its store is archived/),
      expect.stringMatching(/\/a" is not saved as a memory, and only this sandbox has it: the store is archived/),
    ]);
    expect([mount.read("/a"), mount.read("/b")]).toEqual(["2", "1"]);
    expect(await mount.call()).toEqual([]);
    expect(await store.contents()).toEqual({ "/a": "1", "/b": "1" });
  });

  test("deleted, its memories go from the sandbox too", async () => {
    const store = await stage.createStore();
    await store.write("/a", "1");
    await store.write("/b", "1");
    const mount = await stage.createSession([store]);
    await mount.begin();
    await store.remove();
    mount.write("/a", "2");
    expect(await mount.call()).toEqual([expect.stringMatching(/\/a" is not saved .*: the store was deleted/)]);
    expect([mount.read("/a"), mount.read("/b")]).toEqual(["2", null]);
    await mount.end();
    await mount.begin();
  });
});

test("a session without stores has nothing of it", async () => {
  const mount = await stage.createSession([]);
  expect(await mount.part.equip?.(mount.session)).toBeNull();
  await mount.begin();
  expect(await mount.call()).toEqual([]);
  await mount.end();
  expect(await mount.isEager()).toBe(false);
  expect(await mount.part.notes?.(mount.session)).toEqual([]);
  expect(readdirSync(stage.dir)).not.toContain(mount.sessionId);
});

test("the prompt has each store with its path, access, description and instructions", async () => {
  const [one, two] = [await stage.createStore(), await stage.createStore()];
  const mount = await stage.createSession([one, two], "read_only");
  const [note = ""] = (await mount.part.notes?.(mount.session)) ?? [];
  expect(note).toContain('- /mnt/memory/notes: "Store 0" (read-only)\n  What we know\n  How to use it: Keep it short.');
  expect(note).toContain('- /mnt/memory/notes-1: "Store 1"');
});

test("what is left of sessions that were deleted is removed, and nothing else", async () => {
  const store = await stage.createStore();
  await store.write("/a", "1");
  const [gone, lives] = [await stage.createSession([store]), await stage.createSession([store])];
  for (const mount of [gone, lives]) await mount.begin();
  await stage.db.query("delete from sessions where id = $1", [gone.sessionId]);
  await removeDeadMounts(stage.db, stage.dir);
  const left = readdirSync(stage.dir);
  expect([left.includes(gone.sessionId), left.includes(lives.sessionId)]).toEqual([false, true]);
  expect(lives.read("/a")).toBe("1");
  await removeDeadMounts(stage.db, `${stage.dir}/nowhere`);
});
