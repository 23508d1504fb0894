import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type DocsStage, openDocsStage } from "./docs-server.ts";
import { type Block, listPages, readBlocks } from "./markdown-blocks.ts";
import { checkTypes, modulesOf } from "./modules.ts";
import { PageRun } from "./page-run.ts";

/** Many programs, one after the other, on a machine that does other things too. */
const PAGE_MS_MAX = 15 * 60_000;
/** Fewer would mean that something was not found; raise them as documents grow. */
const BLOCKS_MIN = { sh: 25, ts: 20, json: 3 };

const pages = new Map(listPages().map((page) => [page, readBlocks(page)]));
const pagesToRun = [...pages].filter(([, blocks]) => blocks.some((block) => isRun(block) || block.language === "output"));
const ran: Block[] = [];
let stage: DocsStage;
let types: string;

beforeAll(async () => {
  types = mkdtempSync(join(tmpdir(), "sandbox0-docs-types-"));
  stage = await openDocsStage();
});
afterAll(async () => {
  await stage.close();
  rmSync(types, { recursive: true, force: true });
});

function isRun({ language, notRun, file, hidden }: Block): boolean {
  return (
    ["sh", "ts", "json", "yaml"].includes(language) &&
    notRun === undefined &&
    file === undefined &&
    !(hidden && language === "ts")
  );
}

test("the TypeScript of all pages is right", { timeout: PAGE_MS_MAX }, async () => {
  const modules = [...pages.values()].flatMap(modulesOf);
  expect(modules.length).toBeGreaterThanOrEqual(BLOCKS_MIN.ts);
  expect(await checkTypes(modules, join(types, "modules"))).toBe("");
});

test.each(pagesToRun)("%s does what it says", { timeout: PAGE_MS_MAX }, async (page, blocks) => {
  const run = new PageRun(stage, page);
  try {
    await run.run(blocks);
    ran.push(...run.ran);
  } finally {
    await run.close();
  }
});

test("nothing was forgotten: what can be run was run, and the rest says why not", () => {
  const blocks = [...pages.values()].flat();
  const countOf = (language: string): number => ran.filter((block) => block.language === language).length;
  expect(ran.length).toBe(blocks.filter(isRun).length);
  for (const [language, min] of Object.entries(BLOCKS_MIN)) expect(countOf(language), language).toBeGreaterThanOrEqual(min);
  // Another reader of the same fences, which knows nothing of blocks.
  const fences = [...pages.keys()].flatMap((page) => [
    ...readFileSync(page, "utf8").matchAll(/^ *```(sh|ts|json|yaml)\b(.*)$/gm),
  ]);
  const left = fences.filter(([, , info = ""]) => /\b(?:not-run|file)="/.test(info));
  expect(ran.filter((block) => !block.hidden).length).toBe(fences.length - left.length);
  const notRun = blocks.filter((block) => block.notRun !== undefined);
  console.log(
    [
      `${ran.length} blocks were run: ${Object.keys(BLOCKS_MIN)
        .map((language) => `${countOf(language)} ${language}`)
        .join(", ")}`,
      ...notRun.map(({ page, line, language, notRun: why }) => `not run: ${page}:${line} (${language}): ${why}`),
    ].join("\n"),
  );
});
