import { globSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { expectToServe, makePackage, start } from "./packaging-stage.ts";

/** Building takes half a minute of processor time, on a machine that does other things too. */
const PACKAGE_MS_MAX = 6 * 60_000;
vi.setConfig({ testTimeout: PACKAGE_MS_MAX, hookTimeout: PACKAGE_MS_MAX });

let folder: string;
let root: string;
beforeAll(async () => {
  ({ folder } = await makePackage());
  root = join(folder, "package");
  // npm's packages are those of this repository: `make test-extra` has npm install them for it.
  symlinkSync(resolve("node_modules"), join(folder, "node_modules"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("the package holds no TypeScript, no test, and no name of a registry or of this machine", () => {
  const files = globSync("**/*.*", { cwd: root });
  expect(files.filter((path) => /\.tsx?$|\.test\.|\.fixture\./.test(path))).toEqual([]);
  expect(files).toContain("npm-shrinkwrap.json");
  const texts = files.filter((path) => /\.(js|json|md)$/.test(path)).map((path) => readFileSync(join(root, path), "utf8"));
  expect(texts.length).toBeGreaterThan(300);
  expect(texts.filter((text) => text.includes(resolve(".")) || text.includes('"resolved":'))).toEqual([]);
});

test("the package serves the plain program of the SDK, its documents and the console, and drains on SIGTERM", async () => {
  await expectToServe([process.execPath, join(root, "apps/cli/bin/sandbox0.js")], folder);
});

test("the demo runs from the package, with the scripted model", async () => {
  const command = [process.execPath, join(root, "apps/cli/bin/sandbox0.js"), "demo", "--data-dir", join(folder, "demo")];
  const { code, output } = await start(command, folder).ended;
  expect({ code, output }).toMatchObject({ code: 0, output: expect.stringContaining("The primes below 50 are 2, 3, 5") });
});
