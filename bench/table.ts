import type { Budget, Figure } from "./figure.ts";

const COLUMNS = ["figure", "n", "p50", "p95", "p99", "value", "unit", "budget", "within", "ratio"] as const;

/** The figures of a run, each beside its budget. */
export function table(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => [
    figure.name,
    text(figure.n),
    text(figure.p50),
    text(figure.p95),
    text(figure.p99),
    text(figure.value),
    figure.unit,
    budgetText(figure.budget),
    within(figure),
    figure.ratio === undefined ? "" : `${figure.ratio} x ${figure.against}`,
  ]);
  const lines = [[...COLUMNS], ...rows];
  const widths = COLUMNS.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function text(amount: number | undefined): string {
  return amount === undefined ? "" : String(amount);
}

function budgetText({ p50Max, p99Max, valueMax, valueMin }: Budget): string {
  return [
    p50Max === undefined ? "" : `p50 ≤ ${p50Max}`,
    p99Max === undefined ? "" : `p99 ≤ ${p99Max}`,
    valueMax === undefined ? "" : `≤ ${valueMax}`,
    valueMin === undefined ? "" : `≥ ${valueMin}`,
  ]
    .filter((part) => part !== "")
    .join(", ");
}

function within({ p50, p99, value, budget }: Figure): string {
  const { p50Max, p99Max, valueMax, valueMin } = budget;
  const checks = [
    p50Max === undefined || (p50 ?? Infinity) <= p50Max,
    p99Max === undefined || (p99 ?? Infinity) <= p99Max,
    valueMax === undefined || (value ?? Infinity) <= valueMax,
    valueMin === undefined || (value ?? 0) >= valueMin,
  ];
  if (budgetText(budget) === "") return "";
  return checks.every(Boolean) ? "yes" : "NO";
}
