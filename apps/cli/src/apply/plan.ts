import type { Output } from "../command.ts";
import { createPaint, type Style } from "../paint.ts";
import { printLine } from "../print.ts";
import { safeLine } from "../terminal-text.ts";
import type { Document } from "./documents.ts";

export type Action = "create" | "update" | "replace" | "unchanged" | "remove";

/** One thing that has to be done, or that is well as it is. */
export interface PlanItem {
  action: Action;
  /** `agent reviewer`, `credential NPM_TOKEN of vault ci`. */
  name: string;
  /** Of the resource that is there. */
  id: string | undefined;
  /** What it comes from; `undefined` for what no document names. */
  document: Document | undefined;
  /** What will be different, a line each. */
  changes: string[];
  /** @returns the id of what is there now, and what there is to say about it */
  run(): Promise<{ id: string; note?: string }>;
}

export interface Plan {
  items: PlanItem[];
  /** What no document names, and is removed only if that is asked for. */
  removals: PlanItem[];
}

const LOOKS: Record<Action, { sign: string; style: Style; done: string }> = {
  create: { sign: "+", style: "green", done: "created" },
  update: { sign: "~", style: "yellow", done: "updated" },
  replace: { sign: "±", style: "yellow", done: "replaced" },
  unchanged: { sign: "=", style: "dim", done: "unchanged" },
  remove: { sign: "-", style: "red", done: "removed" },
};

export function printPlan(output: Output, items: readonly PlanItem[]): void {
  const paint = createPaint(output.stdout);
  for (const item of items) {
    const { sign, style } = LOOKS[item.action];
    const from = item.document === undefined ? "" : paint("dim", `  ${safeLine(item.document.where())}`);
    printLine(output, `${paint(style, `${sign} ${safeLine(describeItem(item))}`)}${from}`);
    for (const change of item.changes) printLine(output, `    ${safeLine(change)}`);
  }
  printLine(output, summarize(items));
}

export function printDone(output: Output, item: PlanItem, result: { id: string; note?: string }): void {
  const paint = createPaint(output.stdout);
  const { style, done } = LOOKS[item.action];
  const note = result.note === undefined ? "" : ` (${result.note})`;
  printLine(output, `${paint(style, done)} ${safeLine(`${item.name}  ${result.id}${note}`)}`);
}

const describeItem = ({ name, id }: PlanItem): string => (id === undefined ? name : `${name}  ${id}`);

/** `1 to create, 2 unchanged`. */
function summarize(items: readonly PlanItem[]): string {
  const counts = Object.keys(LOOKS).flatMap((action) => {
    const count = items.filter((item) => item.action === action).length;
    return count === 0 ? [] : [action === "unchanged" ? `${count} unchanged` : `${count} to ${action}`];
  });
  return counts.length === 0 ? "Nothing to do: no documents." : `${counts.join(", ")}.`;
}
