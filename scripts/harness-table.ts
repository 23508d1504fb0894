/**
 * Writes the table of docs/harnesses.md from a run of the harnesses' conformance tests: a line a requirement, a column a
 * harness. Exit code 1 when a requirement failed; its cell says so then.
 *
 * Usage: node scripts/harness-table.ts [vitest JSON report]   (default: runs the tests, which takes minutes)
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const DOCUMENT = join(ROOT, "docs/harnesses.md");
const HARNESSES = ["sandpi", "claude", "codex"] as const;
const FILES = HARNESSES.map((name) => `packages/harness/src/${name}/${name}.test.ts`);
const [BEGIN, END] = ["<!-- table -->", "<!-- /table -->"] as const;
/** Written by the suite before each requirement, for a harness that speaks several. */
const API = /^(?:\w+ )?(anthropic-messages|openai-responses|openai-completions): /;

type Harness = (typeof HARNESSES)[number];

interface Report {
  testResults: { name: string; assertionResults: { title: string; status: string }[] }[];
}

/** How often each requirement passed and failed with each harness: once for every API that it speaks. */
type Counts = Map<string, Partial<Record<Harness, { passed: number; failed: number }>>>;

function runTests(): Report {
  const dir = mkdtempSync(join(tmpdir(), "sandbox0-table-"));
  const file = join(dir, "report.json");
  try {
    const args = ["run", "--reporter=json", `--outputFile=${file}`, ...FILES];
    spawnSync(join(ROOT, "node_modules/.bin/vitest"), args, { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] });
    return JSON.parse(readFileSync(file, "utf8")) as Report;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function count({ testResults }: Report): Counts {
  const counts: Counts = new Map();
  for (const { name: file, assertionResults } of testResults) {
    const harness = HARNESSES.find((each) => file.endsWith(`/${each}/${each}.test.ts`));
    if (harness === undefined) continue;
    for (const { title, status } of assertionResults) {
      if (!API.test(title)) continue;
      const row = counts.get(title.replace(API, "")) ?? {};
      const cell = row[harness] ?? { passed: 0, failed: 0 };
      cell[status === "passed" ? "passed" : "failed"] += 1;
      counts.set(title.replace(API, ""), { ...row, [harness]: cell });
    }
  }
  return counts;
}

function table(counts: Counts): string {
  const rows = [...counts].map(([requirement, row]) => [requirement, ...HARNESSES.map((harness) => cellText(row[harness]))]);
  return [["requirement", ...HARNESSES], ["---", ...HARNESSES.map(() => "---")], ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`)
    .join("\n");
}

function cellText(cell: { passed: number; failed: number } | undefined): string {
  if (cell === undefined) return "–";
  return cell.failed === 0 ? "yes" : "FAILS";
}

const given = process.argv[2];
const counts = count(given === undefined ? runTests() : (JSON.parse(readFileSync(given, "utf8")) as Report));
const text = readFileSync(DOCUMENT, "utf8");
const [before, rest] = text.split(BEGIN);
const after = rest?.split(END)[1];
if (before === undefined || after === undefined) throw new Error(`${DOCUMENT} has no place for the table`);
writeFileSync(DOCUMENT, `${before}${BEGIN}\n${table(counts)}\n${END}${after}`);
if ([...counts.values()].some((row) => Object.values(row).some(({ failed }) => failed > 0))) process.exitCode = 1;
