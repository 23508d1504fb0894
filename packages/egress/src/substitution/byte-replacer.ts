/**
 * Replaces byte strings in a stream, across the borders of its chunks: the leftmost match first, the longest of those that
 * begin together. Holds back only what may be the beginning of a match, at most one byte less than the longest pattern.
 */

export interface Replacement {
  /** Not empty. */
  find: Buffer;
  put: Buffer;
  /** Called at each replacement. */
  onHit?: () => void;
}

export interface ByteReplacer {
  /** What can be passed on after this chunk; may be empty. */
  push(chunk: Buffer): Buffer;
  /**
   * The same in pieces, each made when it is asked for: what is put in may be a thousand times as long as what it stands for.
   * All are taken before anything else is asked.
   */
  pieces(chunk: Buffer): Generator<Buffer, void>;
  /** How much is held back. */
  heldBytes(): number;
  /** What was held back: the stream ends here, or goes on as if it began. */
  end(): Buffer;
}

interface Pattern extends Replacement {
  /** Knuth-Morris-Pratt: for each prefix, the length of its longest proper prefix that is also its suffix. */
  borders: Uint32Array;
}

interface Match {
  start: number;
  pattern: Pattern;
}

const EMPTY = Buffer.alloc(0);
/** Of parts that are put together. One part may be longer. */
const PIECE_BYTES = 64 * 1024;

export function createByteReplacer(replacements: readonly Replacement[]): ByteReplacer {
  const patterns = replacements.map(toPattern);
  const beginnings = createBeginnings(patterns);
  let held: Buffer = EMPTY;
  function* pieces(chunk: Buffer): Generator<Buffer, void> {
    const data = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    beginnings.read(chunk);
    const rest = yield* gather(replaceAll(data, patterns, beginnings));
    // A copy: a view would keep the whole chunk alive.
    held = rest === data.length ? EMPTY : Buffer.from(data.subarray(rest));
  }
  return {
    pieces,
    push: (chunk) => join([...pieces(chunk)]),
    heldBytes: () => held.length,
    end() {
      const out = [...replaceAll(held, patterns, null)];
      beginnings.forget();
      held = EMPTY;
      return join(out);
    },
  };
}

/** All of `data` at once. For what cannot be much longer afterwards. */
export function replaceBytes(data: Buffer, replacements: readonly Replacement[]): Buffer {
  return join([...replaceAll(data, replacements.map(toPattern), null)]);
}

/** The same; `null`, and nothing is made, when it would be longer than `bytesMax`. */
export function replaceBytesWithin(data: Buffer, replacements: readonly Replacement[], bytesMax: number): Buffer | null {
  const parts: Buffer[] = [];
  let bytes = 0;
  for (const part of replaceAll(data, replacements.map(toPattern), null)) {
    bytes += part.length;
    if (bytes > bytesMax) return null;
    parts.push(part);
  }
  return join(parts);
}

/** How long all of `data` would be afterwards. */
export function replacedLength(data: Buffer, replacements: readonly Replacement[]): number {
  const patterns = replacements.map(({ find, put }) => toPattern({ find, put }));
  let bytes = 0;
  for (const part of replaceAll(data, patterns, null)) bytes += part.length;
  return bytes;
}

function toPattern(replacement: Replacement): Pattern {
  if (replacement.find.length === 0) throw new Error("an empty pattern would match everywhere");
  return { ...replacement, borders: bordersOf(replacement.find) };
}

/**
 * What `data` becomes, in parts that are made as they are asked for, and at the end where what is held back begins.
 * `beginnings`: at the end of `data`, which goes on; `null`: it does not.
 */
function* replaceAll(data: Buffer, patterns: readonly Pattern[], beginnings: Beginnings | null): Generator<Buffer, number> {
  const matches = createMatcher(data, patterns);
  let from = 0;
  for (;;) {
    const pending = data.length - (beginnings?.longest(data.length - from) ?? 0);
    const match = matches.next(from);
    // What is pending began first, or began together with the match and would be longer: wait for more.
    if (!match || match.start >= pending) {
      if (pending > from) yield data.subarray(from, pending);
      return pending;
    }
    if (match.start > from) yield data.subarray(from, match.start);
    match.pattern.onHit?.();
    yield match.pattern.put;
    from = match.start + match.pattern.find.length;
  }
}

/** Small parts together, large ones as they are; ends as `parts` do. */
function* gather(parts: Generator<Buffer, number>): Generator<Buffer, number> {
  let gathered: Buffer[] = [];
  let bytes = 0;
  for (;;) {
    const next = parts.next();
    if (gathered.length > 0 && (next.done || bytes + next.value.length > PIECE_BYTES)) {
      yield join(gathered);
      gathered = [];
      bytes = 0;
    }
    if (next.done) return next.value;
    gathered.push(next.value);
    bytes += next.value.length;
  }
}

function join(parts: readonly Buffer[]): Buffer {
  return parts.length === 1 ? (parts[0] ?? EMPTY) : Buffer.concat(parts);
}

/** Finds matches from left to right. A pattern is searched again only when its last find has been passed. */
function createMatcher(data: Buffer, patterns: readonly Pattern[]) {
  const found = patterns.map((pattern) => ({ pattern, start: -1 }));
  return {
    next(from: number): Match | null {
      let best: Match | null = null;
      for (const entry of found) {
        if (entry.start < from && entry.start !== data.length) {
          const index = data.indexOf(entry.pattern.find, from);
          entry.start = index === -1 ? data.length : index;
        }
        if (entry.start === data.length) continue;
        const isBetter =
          best === null ||
          entry.start < best.start ||
          (entry.start === best.start && entry.pattern.find.length > best.pattern.find.length);
        if (isBetter) best = entry;
      }
      return best && { ...best };
    },
  };
}

/** What a text that goes on ends with that may become a match. */
interface Beginnings {
  /** The text goes on with this. */
  read(chunk: Buffer): void;
  /** How long the longest one is that lies in the last `within` bytes. What begins before them is forgotten. */
  longest(within: number): number;
  /** A new text begins. */
  forget(): void;
}

/**
 * Looks at each byte a few times, however many matches there are: a beginning that is too long is followed by the next shorter
 * one, which is its border, and not searched for anew.
 */
function createBeginnings(patterns: readonly Pattern[]): Beginnings {
  const lengths = new Uint32Array(patterns.length);
  return {
    read(chunk) {
      for (const [index, pattern] of patterns.entries()) {
        // A beginning is shorter than its pattern.
        const at = Math.max(0, chunk.length - pattern.find.length + 1);
        lengths[index] = lengthAfter(at === 0 ? (lengths[index] ?? 0) : 0, chunk, at, pattern);
      }
    },
    longest(within) {
      let longest = 0;
      for (const [index, { borders }] of patterns.entries()) {
        let length = lengths[index] ?? 0;
        while (length > within) length = borders[length - 1] ?? 0;
        lengths[index] = length;
        longest = Math.max(longest, length);
      }
      return longest;
    },
    forget: () => void lengths.fill(0),
  };
}

/** Of the beginning of a pattern that a text ends with, when it ended with one of `length` before `chunk` from `start` on. */
function lengthAfter(length: number, chunk: Buffer, start: number, { find, borders }: Pattern): number {
  let matched = length;
  for (let at = start; at < chunk.length; at++) {
    const byte = chunk[at];
    while (matched > 0 && find[matched] !== byte) matched = borders[matched - 1] ?? 0;
    if (find[matched] === byte) matched++;
    if (matched === find.length) matched = borders[matched - 1] ?? 0;
  }
  return matched;
}

function bordersOf(pattern: Buffer): Uint32Array {
  const borders = new Uint32Array(pattern.length);
  let length = 0;
  for (let at = 1; at < pattern.length; at++) {
    while (length > 0 && pattern[length] !== pattern[at]) length = borders[length - 1] ?? 0;
    if (pattern[length] === pattern[at]) length++;
    borders[at] = length;
  }
  return borders;
}
