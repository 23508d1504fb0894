import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type DocsStage, environmentOf, openDocsStage } from "./docs-server.ts";
import { matchesOutput } from "./expected-output.ts";
import { listPages, readBlocks } from "./markdown-blocks.ts";
import { addressed } from "./modules.ts";

/** The official SDK for Python: needs python3 with venv, and a package index. */
const PACKAGE = "anthropic==2.14.0";
const run = promisify(execFile);

const blocks = listPages().flatMap(readBlocks);
const programs = blocks
  .map((block, at) => ({ block, next: blocks[at + 1] }))
  .filter(({ block }) => block.language === "python")
  .map(({ block, next }) => ({
    block,
    name: `${block.page}:${block.line}`,
    output: next?.language === "output" ? next.text : undefined,
  }));

let folder: string;
let stage: DocsStage;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sandbox0-python-"));
  await run("python3", ["-m", "venv", join(folder, "venv")]);
  await run(join(folder, "venv/bin/pip"), ["install", "--quiet", "--disable-pip-version-check", PACKAGE]);
  stage = await openDocsStage();
});
afterAll(async () => {
  await stage?.close();
  rmSync(folder, { recursive: true, force: true });
});

test("there is some Python to run", () => {
  expect(programs.length).toBeGreaterThan(0);
});

test.each(programs)("$name does what it says", async ({ block, output }) => {
  const path = join(folder, `line-${block.line}.py`);
  writeFileSync(path, addressed(block.text, stage.server.url));
  const env = { ...environmentOf(folder), SANDBOX0_API_KEY: stage.server.apiKey };
  const { stdout } = await run(join(folder, "venv/bin/python"), [path], { cwd: folder, env });
  if (output !== undefined) expect([stdout, matchesOutput(output, stdout)]).toEqual([stdout, true]);
});
