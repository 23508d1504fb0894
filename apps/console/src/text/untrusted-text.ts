/**
 * What agents, tools and other people write, made fit to be looked at: no terminal sequences, nothing invisible that changes
 * how the rest reads, no more than a browser can lay out. The result is text and marks; nobody makes HTML of it.
 */

/** A character that is not shown as itself. */
export interface Mark {
  /** Two to four letters. */
  mark: string;
  title: string;
}
export type Piece = string | Mark;

export interface TextLimits {
  charsMax: number;
  linesMax: number;
  /** Of one line. */
  lineCharsMax: number;
}
export interface ShownText {
  pieces: Piece[];
  /** UTF-16 units of the whole that are not shown; 0: all is. */
  hiddenChars: number;
}

/** What a tool's output takes of a page before a person asks for more. */
export const PREVIEW_LIMITS: TextLimits = { charsMax: 12_000, linesMax: 120, lineCharsMax: 2_000 };
/** What a browser lays out without a noticeable pause; beyond this there is the download. */
export const WHOLE_LIMITS: TextLimits = { charsMax: 400_000, linesMax: 8_000, lineCharsMax: 20_000 };

/** Sequences of terminals: CSI, then OSC and the other strings if they end, then any other two or three bytes. */
const TERMINAL =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  /(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]?/g;

const NAMED: ReadonlyMap<number, readonly [string, string]> = new Map([
  [0x61c, ["ALM", "Arabic letter mark"]],
  [0x200b, ["ZWSP", "zero-width space"]],
  [0x200e, ["LRM", "left-to-right mark"]],
  [0x200f, ["RLM", "right-to-left mark"]],
  [0x2028, ["LSEP", "line separator"]],
  [0x2029, ["PSEP", "paragraph separator"]],
  [0x202a, ["LRE", "left-to-right embedding"]],
  [0x202b, ["RLE", "right-to-left embedding"]],
  [0x202c, ["PDF", "pop directional formatting"]],
  [0x202d, ["LRO", "left-to-right override"]],
  [0x202e, ["RLO", "right-to-left override"]],
  [0x2060, ["WJ", "word joiner"]],
  [0x2066, ["LRI", "left-to-right isolate"]],
  [0x2067, ["RLI", "right-to-left isolate"]],
  [0x2068, ["FSI", "first strong isolate"]],
  [0x2069, ["PDI", "pop directional isolate"]],
  [0xad, ["SHY", "soft hyphen"]],
  [0xfeff, ["BOM", "zero-width no-break space"]],
  [0x180e, ["MVS", "Mongolian vowel separator"]],
] as const);
/** Control characters but tab and newline, the named ones, and tags, in which text can be hidden. */
const HIDDEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]|[\u{e0000}-\u{e007f}]/gu;

/** Without terminal sequences, and with `\n` as the only end of a line. */
export function stripTerminal(text: string): string {
  return text.replace(TERMINAL, "").replace(/\r\n?/g, "\n");
}

/** Text with its invisible characters as marks. Linear in the length of `text`. */
export function markHidden(text: string): Piece[] {
  const pieces: Piece[] = [];
  let from = 0;
  for (const match of text.matchAll(HIDDEN)) {
    if (match.index > from) pieces.push(text.slice(from, match.index));
    pieces.push(markOf(match[0].codePointAt(0) ?? 0));
    from = match.index + match[0].length;
  }
  if (from < text.length) pieces.push(text.slice(from));
  return pieces;
}

function markOf(code: number): Mark {
  const hex = `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
  const named = NAMED.get(code);
  if (named !== undefined) return { mark: named[0], title: `${named[1]} (${hex})` };
  if (code >= 0xe0000) return { mark: "TAG", title: `tag character ${hex}` };
  if (code < 0x20) return { mark: `^${String.fromCharCode(code + 0x40)}`, title: `control character ${hex}` };
  return { mark: code.toString(16).toUpperCase().padStart(2, "0"), title: `control character ${hex}` };
}

/** The beginning of `text` within the limits, as pieces. What it costs depends on the limits, not on the text. */
export function showText(text: string, limits: TextLimits): ShownText {
  const head = cutChars(text, limits.charsMax);
  const lines = stripTerminal(head).split("\n");
  let hidden = text.length - head.length;
  const shown = lines.slice(0, limits.linesMax);
  for (const line of lines.slice(limits.linesMax)) hidden += line.length + 1;
  const cut = shown.map((line) => {
    const kept = cutChars(line, limits.lineCharsMax);
    hidden += line.length - kept.length;
    return kept.length === line.length ? line : `${kept}…`;
  });
  return { pieces: markHidden(cut.join("\n")), hiddenChars: hidden };
}

/** Of a title or a name. */
const LINE_LIMITS: TextLimits = { charsMax: 300, linesMax: 1, lineCharsMax: 300 };

/** One line of a text, such as a name. */
export function showLine(text: string): Piece[] {
  return showText(text.replaceAll("\n", " "), LINE_LIMITS).pieces;
}

/** As `showLine`, for places that take no elements: the choices of a field, the title of a tab. */
export function plainLine(text: string): string {
  return showLine(text)
    .map((piece) => (typeof piece === "string" ? piece : `‹${piece.mark}›`))
    .join("");
}

/** Never half a surrogate pair. */
function cutChars(text: string, charsMax: number): string {
  if (text.length <= charsMax) return text;
  const last = text.charCodeAt(charsMax - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? charsMax - 1 : charsMax);
}

const SAFE_PROTOCOLS: readonly string[] = ["http:", "https:", "mailto:"];

/** The address of a link, normalised, if it may be one: http, https and mailto only, and never a relative one. */
export function safeHref(address: string): string | null {
  let url: URL;
  try {
    url = new URL(address.trim());
  } catch {
    // Not an address of its own.
    return null;
  }
  return SAFE_PROTOCOLS.includes(url.protocol) ? url.href : null;
}
