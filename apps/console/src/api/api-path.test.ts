import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { apiPath, isId } from "./api-path.ts";

test.each(["sesn_0111pApXfAWxcFRKtZbUvHtj", "1759178010641129", "a-b", "A".repeat(128)])("%s may be an id", (id) => {
  expect(isId(id)).toBe(true);
  expect(apiPath`/v1/things/${id}/parts/${id}`).toBe(`/v1/things/${id}/parts/${id}`);
});

test.each(["", ".", "..", "../vaults/vlt_1", "a/b", "a%2fb", "a?x=1", "a#b", "a\\b", "a b", "a\nb", "a\n", "ä", "A".repeat(129)])(
  "%j is none, and no path is made of it",
  (id) => {
    expect(isId(id)).toBe(false);
    expect(() => apiPath`/v1/things/${id}`).toThrow("no such page");
  },
);

test("no path of the API is made in another way", () => {
  const sources = join(import.meta.dirname, "..");
  const files = readdirSync(sources, { recursive: true, encoding: "utf8" }).filter((name) => /(?<!test)\.tsx?$/.test(name));
  expect(files).toContain(join("api", "sessions.ts"));
  // A template that begins as such a path, or as a variable that holds one, and goes on with something.
  const made = /(?<!apiPath)`(?:\/v1\/|\/sandbox0\/v1\/|\$\{(?:path|at)\})[^`]*\$\{/;
  expect(files.filter((name) => made.test(readFileSync(join(sources, name), "utf8")))).toEqual([]);
});
