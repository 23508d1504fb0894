import { stripVTControlCharacters } from "node:util";

/** Characters of a build's output that are kept. */
export const LOG_TAIL_CHARS = 16_000;

/** The end of what a program prints, as text: without colours, and with lines that it wrote over (progress bars) as they were last. */
export interface LogTail {
  add(chunk: string): void;
  text(): string;
}

export function createLogTail(): LogTail {
  let raw = "";
  return {
    add(chunk) {
      raw += chunk;
      // Not at every chunk: what is cut off may be in the middle of a line.
      if (raw.length > LOG_TAIL_CHARS * 4) raw = raw.slice(-LOG_TAIL_CHARS * 2);
    },
    text: () => readable(raw).slice(-LOG_TAIL_CHARS),
  };
}

function readable(raw: string): string {
  const lines = stripVTControlCharacters(raw).replaceAll("\r\n", "\n").split("\n");
  return withoutControls(lines.map((line) => line.slice(line.lastIndexOf("\r") + 1)).join("\n")).trim();
}

/** Postgres takes no NUL, and nobody can read the others. */
export function withoutControls(text: string): string {
  return text.replaceAll(/(?![\t\n])\p{Cc}/gu, "").toWellFormed();
}
