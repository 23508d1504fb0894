import { readFile } from "node:fs/promises";
import { HARNESS_CASES, VENDOR_LIMITS } from "@sandbox0/harness/testing";
import { expect, test } from "vitest";
import { harnessTable, TABLE_BEGIN, TABLE_END } from "./table.ts";

test("the table of docs/harnesses.md says what the tests of each harness prove", async () => {
  const text = await readFile(new URL("../../docs/harnesses.md", import.meta.url), "utf8");
  const table = text.split(TABLE_BEGIN)[1]?.split(TABLE_END)[0]?.trim();
  // Otherwise: node test/harnesses/write-table.ts
  expect(table?.split("\n")).toEqual((await harnessTable()).split("\n"));
});

test("every limit of a vendor is one of a requirement that there is", () => {
  const names = new Set(HARNESS_CASES.map(({ name }) => name));
  const limits = Object.values(VENDOR_LIMITS).flatMap(Object.keys);
  expect(limits.filter((name) => !names.has(name))).toEqual([]);
});
