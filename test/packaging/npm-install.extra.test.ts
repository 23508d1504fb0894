import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { expectToServe, makePackage, start } from "./packaging-stage.ts";

let folder: string;
/** An empty project, in which the machine's npm installs the tarball. */
let project: string;
beforeAll(async () => {
  const made = await makePackage();
  folder = made.folder;
  project = join(folder, "project");
  mkdirSync(project);
  const installed = await start(["npm", "install", "--prefer-offline", "--no-audit", "--no-fund", made.tarball], project).ended;
  expect(installed).toMatchObject({ code: 0 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("npx sandbox0 runs on this machine's Node, an older one too, and says its version", async () => {
  const { version } = JSON.parse(readFileSync("apps/cli/package.json", "utf8")) as { version: string };
  expect(await start(["npx", "sandbox0", "--version"], project).ended).toEqual({ code: 0, output: `${version}\n` });
  const help = await start(["npx", "sandbox0", "--help"], project).ended;
  expect(help).toMatchObject({ code: 0, output: expect.stringContaining("Usage: sandbox0 <command>") });
});

test("the doctor finds in it all that the server needs", async () => {
  const { code, output } = await start(["npx", "sandbox0", "doctor"], project, { SANDBOX0_PORT: "0" }).ended;
  expect({ code, output }).toMatchObject({ code: 0, output: expect.stringContaining("This machine can run sandbox0.") });
});

test("it serves the plain program of the SDK, its documents and the console, and drains on SIGTERM", async () => {
  await expectToServe([join(project, "node_modules/.bin/sandbox0")], folder);
});

test("the demo runs", async () => {
  const command = ["npx", "sandbox0", "demo", "--data-dir", join(folder, "demo")];
  const { code, output } = await start(command, project).ended;
  expect({ code, output }).toMatchObject({ code: 0, output: expect.stringContaining("The primes below 50 are 2, 3, 5") });
});
