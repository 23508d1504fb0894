import { createClaude, createCodex, createSandpi, type Harness } from "@sandbox0/harness";
import { HARNESS_CASES, isFor, VENDOR_LIMITS } from "@sandbox0/harness/testing";

/** Nothing of it is started: only what the harnesses can do is asked. */
const NO_PROGRAM = { version: "", directory: "", mountedAt: "" };
export const [TABLE_BEGIN, TABLE_END] = ["<!-- table -->", "<!-- /table -->"] as const;

/**
 * The table of docs/harnesses.md: a line a requirement, a column a harness. A cell is what the tests of the harness prove:
 * each *yes* is a test that must pass, each *no* one that must fail.
 */
export async function harnessTable(): Promise<string> {
  const harnesses = [createSandpi(), createClaude({ program: NO_PROGRAM }), createCodex({ program: NO_PROGRAM })];
  const names = ["requirement", ...harnesses.map(({ name }) => name)];
  const rows = HARNESS_CASES.map((each) => [each.name, ...harnesses.map((harness) => cell(each, harness))]);
  for (const harness of harnesses) await harness.close();
  return [names, names.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function cell(each: (typeof HARNESS_CASES)[number], { name, capabilities }: Harness): string {
  if (!capabilities.apis.some((api) => isFor(each, capabilities, api))) return "–";
  return each.name in VENDOR_LIMITS[name] ? "no" : "yes";
}
