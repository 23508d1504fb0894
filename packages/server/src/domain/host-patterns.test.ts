import { expect, test } from "vitest";
import { isCovered } from "./host-patterns.ts";

test.each([
  ["a.b", ["a.b"], true],
  ["A.b", ["a.B"], true],
  ["a.b", ["*.b"], true],
  ["x.a.b", ["*.b"], true],
  ["*.a.b", ["*.b"], true],
  ["*.b", ["*.b"], true],
  ["b", ["*.b"], false],
  ["xb", ["*.b"], false],
  ["*.b", ["*.a.b"], false],
  ["*.b", ["b", "a.b"], false],
  ["a.b", ["*.a.b"], false],
  ["a.b", [], false],
  ["a.b.evil.io", ["a.b", "*.b"], false],
])("%s within %j: %s", (pattern, patterns, isWithin) => {
  expect(isCovered(pattern, patterns)).toBe(isWithin);
});
