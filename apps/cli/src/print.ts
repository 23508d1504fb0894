import type { Output } from "./command.ts";
import { safeJson, safeLine } from "./terminal-text.ts";

const GAP = "  ";

/** Our own words, or text that is safe already. */
export function printLine(output: Output, line = ""): void {
  output.stdout.write(`${line}\n`);
}

export function printJson(output: Output, value: unknown): void {
  output.stdout.write(`${safeJson(JSON.stringify(value, null, 2))}\n`);
}

/** Columns as wide as their widest cell; the last one is not padded. Cells may be anybody's text. */
export function printTable(output: Output, header: readonly string[], rows: readonly (readonly string[])[]): void {
  const all = [header, ...rows].map((row) => row.map(safeLine));
  const widths = header.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)));
  for (const row of all) {
    const cells = row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)));
    printLine(output, cells.join(GAP).trimEnd());
  }
}

/** One line of at most `charsMax` characters. */
export function shorten(text: string, charsMax: number): string {
  const line = text.replaceAll(/\s+/g, " ").trim();
  return line.length <= charsMax ? line : `${line.slice(0, charsMax - 1)}…`;
}
