/** What changed between two texts, line by line. */
export interface DiffLine {
  kind: "same" | "added" | "removed";
  text: string;
}
/** Unchanged lines that are not shown. */
export interface DiffGap {
  kind: "gap";
  lines: number;
}

/** Around a change. */
const CONTEXT_LINES = 3;
/** Cells of the table of the comparison; more than that is shown as removed and added. */
const CELLS_MAX = 4_000_000;

/** The shortest list of removed and added lines, removed ones first where both are. */
export function diffLines(before: string, after: string): DiffLine[] {
  const a = linesOf(before);
  const b = linesOf(after);
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  return [
    ...a.slice(0, head).map(line("same")),
    ...diffMiddle(a.slice(head, a.length - tail), b.slice(head, b.length - tail)),
    ...a.slice(a.length - tail).map(line("same")),
  ];
}

const line =
  (kind: DiffLine["kind"]) =>
  (text: string): DiffLine => ({ kind, text });

/** No text has no line, an empty one too. */
function linesOf(text: string): string[] {
  return text === "" ? [] : text.split("\n");
}

function diffMiddle(a: readonly string[], b: readonly string[]): DiffLine[] {
  if (a.length * b.length > CELLS_MAX) return [...a.map(line("removed")), ...b.map(line("added"))];
  const width = b.length + 1;
  // common[i * width + j]: the length of the longest common subsequence of a from i and b from j.
  const common = new Uint32Array((a.length + 1) * width);
  const at = (i: number, j: number): number => common[i * width + j] ?? 0;
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      common[i * width + j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const lines: DiffLine[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push(line("same")(a[i] ?? ""));
      i += 1;
      j += 1;
    } else if (i < a.length && (j === b.length || at(i + 1, j) >= at(i, j + 1))) {
      lines.push(line("removed")(a[i] ?? ""));
      i += 1;
    } else {
      lines.push(line("added")(b[j] ?? ""));
      j += 1;
    }
  }
  return lines;
}

/** Leaves out the unchanged lines that are far from any change. */
export function foldUnchanged(lines: readonly DiffLine[], context = CONTEXT_LINES): (DiffLine | DiffGap)[] {
  const near = new Set<number>();
  for (const [index, { kind }] of lines.entries()) {
    if (kind === "same") continue;
    for (let place = index - context; place <= index + context; place += 1) near.add(place);
  }
  const shown: (DiffLine | DiffGap)[] = [];
  for (const [index, each] of lines.entries()) {
    const last = shown.at(-1);
    if (near.has(index)) shown.push(each);
    else if (last?.kind === "gap") last.lines += 1;
    else shown.push({ kind: "gap", lines: 1 });
  }
  return shown;
}
