import { expect, test } from "vitest";
import { placeholderOf } from "./placeholder.ts";

test("is the same for the same session and credential, and of no use to guess others", () => {
  const one = placeholderOf("sesn_1", "vcrd_1");
  expect(one).toMatch(/^sandbox0_placeholder_[0-9a-f]{32}$/);
  expect(placeholderOf("sesn_1", "vcrd_1")).toBe(one);
  expect(placeholderOf("sesn_2", "vcrd_1")).not.toBe(one);
  expect(placeholderOf("sesn_1", "vcrd_2")).not.toBe(one);
  expect(one).not.toContain("vcrd");
});
