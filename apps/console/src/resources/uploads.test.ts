import { expect, test } from "vitest";
import { type UploadAction, type Uploads, uploadsReducer } from "./uploads.ts";

const after = (...actions: UploadAction[]): Uploads => actions.reduce(uploadsReducer, { uploads: [], nextId: 0 });

test("uploads wait, go out, are stored, and then are no longer shown", () => {
  const begun = after({ type: "added", names: ["a", "b"] }, { type: "progress", id: 0, fraction: 0.5 });
  expect(begun.uploads.map(({ state, fraction }) => [state, fraction])).toEqual([
    ["sending", 0.5],
    ["waiting", 0],
  ]);
  const sent = uploadsReducer(begun, { type: "progress", id: 0, fraction: 1 });
  expect(sent.uploads[0]?.state).toBe("storing");
  expect(uploadsReducer(sent, { type: "finished", id: 0 }).uploads.map(({ name }) => name)).toEqual(["b"]);
});

test("one that failed says why until it is dismissed, and ids are not used twice", () => {
  const failed = after({ type: "added", names: ["a"] }, { type: "failed", id: 0, problem: "too large" });
  expect(failed.uploads[0]).toMatchObject({ state: "failed", problem: "too large" });
  const again = uploadsReducer(uploadsReducer(failed, { type: "dismissed", id: 0 }), { type: "added", names: ["a"] });
  expect(again.uploads.map(({ id }) => id)).toEqual([1]);
});
