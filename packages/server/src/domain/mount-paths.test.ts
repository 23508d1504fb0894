import { expect, test } from "vitest";
import { findOverlap, memoryPath, repositoryPath, uploadPath } from "./mount-paths.ts";

test.each([
  ["data.csv", "/mnt/session/uploads/data.csv"],
  ["/data.csv", "/mnt/session/uploads/data.csv"],
  ["/mnt/session/uploads/data.csv", "/mnt/session/uploads/data.csv"],
  ["/mnt/session/uploads//deep///er/data.csv", "/mnt/session/uploads/deep/er/data.csv"],
  ["/workspace/data.csv", "/mnt/session/uploads/workspace/data.csv"],
  ["/mnt/session/uploadsx", "/mnt/session/uploads/mnt/session/uploadsx"],
  ["/mnt/session/outputs/x", "/mnt/session/uploads/mnt/session/outputs/x"],
  ["ünïcode ☃/…", "/mnt/session/uploads/ünïcode ☃/…"],
  ["...", "/mnt/session/uploads/..."],
])("the file %s is mounted at %s", (given, path) => expect(uploadPath(given)).toEqual({ path }));

test.each([
  "..",
  "../x",
  "a/../../../etc/passwd",
  "/mnt/session/uploads/../outputs/x",
  "a/./b",
  "/",
  "///",
  "dir/",
  "/mnt/session/uploads",
  "/mnt/session/uploads/",
  "a\0b",
  "a\nb",
  "\ud800",
  "n".repeat(256),
  "é".repeat(128),
  Array.from({ length: 520 }, () => "a").join("/"),
])("no file is mounted at %j", (given) => expect(uploadPath(given)).toHaveProperty("problem"));

test("repositories are below the workspace, and absolute paths must say so", () => {
  expect(repositoryPath("a")).toEqual({ path: "/workspace/a" });
  expect(repositoryPath("/workspace/b/a")).toEqual({ path: "/workspace/b/a" });
  for (const bad of ["/workspace", "/workspace/", "/workspaces/a", "/etc", "/workspace/../etc"])
    expect(repositoryPath(bad)).toHaveProperty("problem");
});

test("memory stores by the slug of their name, and by a number where that is taken", () => {
  expect(memoryPath("User Preferences (v2)", new Set())).toBe("/mnt/memory/user-preferences-v2-");
  expect(memoryPath("Äpfel", new Set())).toBe("/mnt/memory/-pfel");
  expect(memoryPath("a", new Set(["/mnt/memory/a", "/mnt/memory/a-2"]))).toBe("/mnt/memory/a-3");
});

test("overlaps are found wherever they are", () => {
  expect(findOverlap(["/a/b", "/a-b", "/a.b/c", "/ab"])).toBeNull();
  expect(findOverlap(["/a/b", "/c", "/a/b"])).toEqual(["/a/b", "/a/b"]);
  expect(findOverlap(["/a/b/c", "/a-x", "/a", "/a.x"])).toEqual(["/a", "/a/b/c"]);
});
