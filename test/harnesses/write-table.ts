/**
 * Runs the conformance suite of harnesses over all three, with the real programs, and writes the table of docs/harnesses.md:
 * a line a requirement, a column a harness. Takes minutes.
 *
 * Usage: node test/harnesses/write-table.ts
 */
import { readFile, writeFile } from "node:fs/promises";
import { createClaude, createCodex, createSandpi, findClaudeProgram, findCodexProgram, type Harness } from "@sandbox0/harness";
import { HARNESS_CASES, openSandboxStage, runHarnessCase } from "@sandbox0/harness/testing";

const DOCUMENT = new URL("../../docs/harnesses.md", import.meta.url);
const [BEGIN, END] = ["<!-- table -->", "<!-- /table -->"] as const;
const CASE_TIMEOUT_MS = 120_000;

type RunningHarness = Harness & { close(): unknown };
type Stage = Awaited<ReturnType<typeof openSandboxStage>>;

async function main(): Promise<void> {
  const [claude, codex] = [findClaudeProgram(), findCodexProgram()];
  if ("unavailable" in claude) throw new Error(claude.unavailable);
  if ("unavailable" in codex) throw new Error(codex.unavailable);
  const harnesses: RunningHarness[] = [createSandpi(), createClaude({ program: claude }), createCodex({ program: codex })];
  const stage = await openSandboxStage([claude, codex]);
  const rows: string[][] = HARNESS_CASES.map(({ name }) => [name]);
  try {
    for (const harness of harnesses) {
      for (const [index, each] of HARNESS_CASES.entries()) rows[index]?.push(await cell(each, harness, stage));
    }
  } finally {
    for (const harness of harnesses) await harness.close();
    await stage.close();
  }
  const names = ["requirement", ...harnesses.map(({ name }) => name)];
  const lines = [names, names.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`);
  const text = await readFile(DOCUMENT, "utf8");
  const [before = "", rest = ""] = text.split(BEGIN);
  await writeFile(DOCUMENT, `${before}${BEGIN}\n${lines.join("\n")}\n${END}${rest.split(END)[1] ?? ""}`);
}

/** With every API that the harness speaks and the requirement is about. */
async function cell(each: (typeof HARNESS_CASES)[number], harness: Harness, stage: Stage): Promise<string> {
  const { placement, apis } = harness.capabilities;
  const spoken = apis.filter((api) => each.apis?.includes(api) ?? true);
  if (spoken.length === 0 || (each.placement ?? placement) !== placement) return "–";
  const place = placement === "agent-in-sandbox" ? stage : null;
  const failed: string[] = [];
  for (const api of spoken) {
    const run = runHarnessCase(each, harness, api, place);
    const late = new Promise<never>((_, reject) => {
      setTimeout(() => reject(new Error("no end")), CASE_TIMEOUT_MS).unref();
    });
    await Promise.race([run, late]).catch((error: unknown) => {
      console.error(`${harness.name}, ${api}: ${each.name}: ${String(error).slice(0, 300)}`);
      failed.push(api);
    });
  }
  if (failed.length === 0) return "yes";
  return failed.length === apis.length ? "no" : `not over ${failed.join(", ")}`;
}

await main();
// Timers of cases that cut a program off may still run, for minutes.
process.exit();
