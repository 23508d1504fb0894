/**
 * What must never reach a terminal as it is: control characters, which move the cursor, set titles, write the clipboard or
 * answer for the user; and characters that reorder, hide or break what is read. Line feed and tab are handled apart.
 */
const UNSAFE = /[\p{Cc}\p{Bidi_Control}\u2028\u2029\u{e0000}-\u{e007f}]|\p{Cs}/gu;
/** The colours of a program's output: the only sequence that is left out silently, since it hides and moves nothing. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: this is what is looked for
const COLOUR = /\x1b\[[0-9;:]*m/g;
const TAB = "    ";

/**
 * Text of an agent, a tool or a server, harmless for a terminal: what is unsafe is shown as `\x1b` or `\u202e`.
 * Line feeds stay; use {@link safeLine} where there must be none.
 */
export function safeText(text: string): string {
  return text
    .replaceAll("\r\n", "\n")
    .replaceAll(COLOUR, "")
    .replaceAll("\t", TAB)
    .replaceAll(UNSAFE, (char) => (char === "\n" ? char : nameOf(char)));
}

/** As {@link safeText}, on one line. */
export function safeLine(text: string): string {
  return safeText(text.replaceAll(/[\r\n\t]+/g, " "));
}

/** JSON that means the same, without an unsafe character: they are in strings only, where `\u….` stands for them. */
export function safeJson(json: string): string {
  return json.replaceAll(UNSAFE, (char) =>
    char === "\n" ? char : [...Array(char.length).keys()].map((index) => `\\u${hex(char.charCodeAt(index), 4)}`).join(""),
  );
}

function nameOf(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  if (code < 0x100) return `\\x${hex(code, 2)}`;
  return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${hex(code, 4)}`;
}

const hex = (code: number, digits: number): string => code.toString(16).padStart(digits, "0");
