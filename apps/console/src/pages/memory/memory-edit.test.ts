import { APIError } from "@anthropic-ai/sdk";
import { expect, test } from "vitest";
import { isEditConflict, memoryUpdateParams } from "./memory-edit.ts";

const BEGAN = { path: "/a.md", content: "old", content_sha256: "0".repeat(64) };
const conflict = (type: string) =>
  APIError.generate(409, { type: "error", error: { type, message: "no" } }, undefined, new Headers());

test("an edit holds the text to what it was when it began, and sends only what changed", () => {
  const precondition = { type: "content_sha256", content_sha256: "0".repeat(64) };
  expect(memoryUpdateParams(BEGAN, { path: "/a.md", content: "new" })).toEqual({ content: "new", precondition });
  expect(memoryUpdateParams(BEGAN, { path: "/b.md", content: "old" })).toEqual({ path: "/b.md", precondition });
  expect(memoryUpdateParams({ ...BEGAN, content: null }, { path: "/a.md", content: "" })).toEqual({ precondition });
});

test("only a failed precondition is a conflict of two edits", () => {
  expect(isEditConflict(conflict("memory_precondition_failed_error"))).toBe(true);
  expect(isEditConflict(conflict("memory_path_conflict_error"))).toBe(false);
  expect(isEditConflict(new Error("memory_precondition_failed_error"))).toBe(false);
});
