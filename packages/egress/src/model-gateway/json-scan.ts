/** Where the value of a member of the top object is written: `[start, end)` in bytes. */
export type Members = ReadonlyMap<string, Span>;

interface Span {
  start: number;
  end: number;
}

/** Deeper than any request that a harness makes. */
const DEPTH_MAX = 256;
/** Values of one body: a long conversation has some ten thousand. Each takes time and memory, however few bytes it has. */
const VALUES_MAX = 200_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COLON = 0x3a;
const COMMA = 0x2c;

/**
 * Looks at a JSON text before it is parsed. A name that stands twice in one object is read by some parsers as its first
 * value and by others as its last: what is checked here would not be what the provider sees.
 * @param json JSON; for what is none the answer means nothing, and the parser will say so
 * @returns the members of the top object, or why the text is not taken
 */
export function scanJson(json: Buffer): { members: Members } | { problem: string } {
  const members = new Map<string, Span>();
  /** One a level: the names seen, `null` for a list. */
  const levels: (Set<string> | null)[] = [];
  let member: Span | undefined;
  let values = 0;
  let atName = false;
  for (let at = 0; at < json.length; at += 1) {
    const byte = json[at];
    if (byte === QUOTE) {
      const end = stringEnd(json, at);
      const names = levels.at(-1);
      if (names && atName) {
        const name = nameAt(json, at, end);
        if (names.has(name)) return { problem: `"${name.slice(0, 64)}" stands twice in one object` };
        names.add(name);
        if (levels.length === 1) {
          member = { start: -1, end: -1 };
          members.set(name, member);
        }
      }
      at = end - 1;
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      levels.push(byte === OPEN_BRACE ? new Set() : null);
      atName = byte === OPEN_BRACE;
      values += 1;
      if (levels.length > DEPTH_MAX) return { problem: `it is nested more than ${DEPTH_MAX} levels deep` };
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      if (levels.length === 1 && member) member.end = at;
      levels.pop();
      atName = false;
    } else if (byte === COMMA) {
      if (levels.length === 1 && member) member.end = at;
      atName = levels.at(-1) !== null;
      values += 1;
    } else if (byte === COLON) {
      // Noted when it is met: looked for from each name, it would be far away in a text that has none.
      if (levels.length === 1 && member?.start === -1) member.start = at + 1;
      atName = false;
    }
    if (values > VALUES_MAX) return { problem: `it has more than ${VALUES_MAX} values` };
  }
  return { members };
}

/** Behind the closing quote of the string that opens at `start`; the end of the text when it does not close. */
function stringEnd(json: Buffer, start: number): number {
  for (let quote = json.indexOf(QUOTE, start + 1); quote !== -1; quote = json.indexOf(QUOTE, quote + 1)) {
    let before = quote - 1;
    while (json[before] === BACKSLASH) before -= 1;
    if ((quote - before) % 2 === 1) return quote + 1;
  }
  return json.length;
}

/** Names are compared as they read, not as they are escaped. */
function nameAt(json: Buffer, start: number, end: number): string {
  const text = json.toString("utf8", start, end);
  if (!text.includes("\\")) return text.slice(1, -1);
  try {
    return String(JSON.parse(text));
  } catch (error) {
    if (error instanceof SyntaxError) return text;
    throw error;
  }
}
