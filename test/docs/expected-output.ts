/** Ids, times and ports: any other of their kind is as good (docs/AUTHORING.md). */
const KINDS: readonly (readonly [found: RegExp, pattern: (match: string) => string])[] = [
  [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/, () => String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z`],
  [/\d{4}-\d\d-\d\d/, () => String.raw`\d{4}-\d\d-\d\d`],
  [/\d\d:\d\d:\d\d(?:\.\d+)?/, () => String.raw`\d\d:\d\d:\d\d(?:\.\d+)?`],
  [/127\.0\.0\.1:\d+/, () => String.raw`127\.0\.0\.1:\d+`],
  [/sk-sandbox0-\w*/, () => String.raw`sk-sandbox0-[\w-]+`],
  [/[a-z]{2,12}_01\w+/, (id) => String.raw`${id.slice(0, id.indexOf("_"))}_01\w+`],
  [/…/, () => "[^\\n]*"],
];
const ANY_KIND = new RegExp(KINDS.map(([found]) => `(${found.source})`).join("|"), "g");
const ANY_LINES = "(?:[^\\n]*\\n)*?";

/** Whether a program printed what its document says. */
export function matchesOutput(expected: string, printed: string): boolean {
  const lines = trimmedLines(expected).map((line) => (line === "…" ? ANY_LINES : `${patternOf(line)}\\n`));
  return new RegExp(`^${lines.join("")}$`).test(`${trimmedLines(printed).join("\n")}\n`);
}

function patternOf(line: string): string {
  let pattern = "";
  let end = 0;
  for (const match of line.matchAll(ANY_KIND)) {
    pattern += literal(line.slice(end, match.index));
    pattern += KINDS[match.slice(1).findIndex((group) => group !== undefined)]?.[1](match[0]) ?? "";
    end = match.index + match[0].length;
  }
  return pattern + literal(line.slice(end));
}

const literal = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\/]/g, String.raw`\$&`);
/** Columns are as wide as what stands in them: any number of spaces is one. */
const trimmedLines = (text: string): string[] =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => line.trimEnd().replaceAll(/ +/g, " "));
