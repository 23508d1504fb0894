import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A code block of a document, or code in one of its comments (docs/AUTHORING.md). */
export interface Block {
  page: string;
  /** Of its fence, from 1. */
  line: number;
  language: string;
  /** What else its fence says: `serve`, `continues`. */
  words: readonly string[];
  notRun: string | undefined;
  file: string | undefined;
  text: string;
  /** In a comment: readers do not see it. */
  hidden: boolean;
}

const WORDS: Readonly<Record<string, readonly string[]>> = {
  sh: ["serve", "in-sandbox", "fails"],
  ts: ["continues"],
  json: [],
  yaml: [],
  python: [],
  output: [],
  text: [],
  ini: [],
  dockerfile: [],
  mermaid: [],
};
const REASON_CHARS_MIN = 10;
const FENCE = /^( *)(`{3,})(.*)$/;
const COMMENT = /^<!-- (ts prelude|sh)$/;

/** Every document whose blocks are run, by its path. */
export function listPages(): string[] {
  const docs = readdirSync("docs", { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".md"))
    .map((path) => join("docs", path));
  return ["README.md", "docs/llms.txt", ...docs.toSorted()];
}

export const readBlocks = (page: string): Block[] => parseBlocks(page, readFileSync(page, "utf8"));

/** @throws Error that names the page and line of a fence that is not as docs/AUTHORING.md says */
export function parseBlocks(page: string, markdown: string): Block[] {
  const lines = markdown.split("\n");
  const blocks: Block[] = [];
  for (let at = 0; at < lines.length; at += 1) {
    const start = at;
    const comment = COMMENT.exec(lines[at] ?? "");
    const fence = comment === null ? FENCE.exec(lines[at] ?? "") : null;
    if (comment === null && fence === null) continue;
    const [, indent = "", ticks = "", info = comment?.[1] ?? ""] = fence ?? [];
    const isEnd = (line: string): boolean => (comment === null ? line.trim().startsWith(ticks) : line === "-->");
    do at += 1;
    while (at < lines.length && !isEnd(lines[at] ?? ""));
    if (at === lines.length) throw new Error(`${page}:${start + 1}: never ends`);
    const text = lines.slice(start + 1, at).map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line));
    blocks.push(blockOf({ page, line: start + 1, info, text: `${text.join("\n")}\n`, hidden: comment !== null }));
  }
  return blocks;
}

function blockOf({ page, line, info, text, hidden }: Pick<Block, "page" | "line" | "text" | "hidden"> & { info: string }): Block {
  const attributes = new Map<string, string>();
  const rest = info.replaceAll(/([\w-]+)="([^"]*)"/g, (_match, name: string, value: string) => {
    attributes.set(name, value);
    return "";
  });
  const [language = "", ...words] = rest.trim().split(/\s+/);
  const fail = (problem: string): never => {
    throw new Error(`${page}:${line}: ${problem}; see docs/AUTHORING.md`);
  };
  const known = Object.hasOwn(WORDS, language) ? WORDS[language] : undefined;
  if (known === undefined) return fail(`the language ${JSON.stringify(language)} is not known`);
  const allowed = hidden ? ["prelude"] : known;
  for (const word of words) if (!allowed.includes(word)) fail(`${language} ${word} means nothing`);
  for (const name of attributes.keys()) if (name !== "not-run" && name !== "file") fail(`${name}= means nothing`);
  const notRun = attributes.get("not-run");
  if (notRun !== undefined && notRun.length < REASON_CHARS_MIN) fail("not-run needs a reason");
  return { page, line, language, words, notRun, file: attributes.get("file"), text, hidden };
}
