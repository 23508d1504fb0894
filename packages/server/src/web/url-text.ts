/** Longer ones are neither fetched nor looked for. */
export const URL_CHARS_MAX = 2_048;

const SCHEME = /https?:\/\//gi;
/** What ends a URL wherever it stands. */
const END = /[\s<>"`{}|\\^]/;
/** May be part of a URL, and may be the text around it, also in the middle of what looks like one. */
const BRACKETS = new Set("()[]'*,;");
/** May be the text behind it, as its last character only. */
const PUNCTUATION = new Set(".:!?_~");
const HOST = /\[[0-9a-f:.]{2,64}\]|[^\s<>"`{}|\\^()[\]'*,;/?#]{1,320}/iy;
const CUTS_MAX = 64;

/** The form in which URLs are compared: as the parser writes it, without the fragment, which no server sees. */
export function normalizeUrl(url: URL): string {
  const copy = new URL(url);
  copy.hash = "";
  copy.hostname = copy.hostname.replace(/\.$/, "");
  return copy.href;
}

/**
 * Whether a text shows this URL. Punctuation around it does not matter, and neither does how it is written (case of the
 * host, default port, escapes, a fragment).
 * @param bare people write `example.com/page` and mean a page: without the scheme it counts as well
 */
export function textShowsUrl(text: string, url: URL, options: { bare: boolean }): boolean {
  const wanted = normalizeUrl(url);
  const { hostname } = new URL(wanted);
  for (const { index, 0: scheme } of text.matchAll(SCHEME)) {
    if (hostAt(text, index + scheme.length) === hostname && shows(text, index, "", wanted)) return true;
  }
  if (!options.bare) return false;
  for (const { index } of text.matchAll(new RegExp(`(?<![\\w@/:.-])${hostname.replace(/[.[\]]/g, "\\$&")}`, "gi"))) {
    if (shows(text, index, `${url.protocol}//`, wanted)) return true;
  }
  return false;
}

/** The host that a URL's text names behind its scheme; looked at first, because most URLs of a text are others. */
function hostAt(text: string, start: number): string | null {
  HOST.lastIndex = start;
  const written = HOST.exec(text)?.[0].replace(/[.:!?_~]+$/, "");
  return written === undefined ? null : (URL.parse(`http://${written}/`)?.hostname.replace(/\.$/, "") ?? null);
}

/** Tries the longest piece of text that could be a URL, then the same without what may be text around it. */
function shows(text: string, start: number, scheme: string, wanted: string): boolean {
  let piece = text.slice(start, start + URL_CHARS_MAX);
  const end = piece.search(END);
  if (end >= 0) piece = piece.slice(0, end);
  for (let cuts = 0; piece !== "" && cuts < CUTS_MAX; cuts++) {
    const parsed = URL.parse(scheme + piece);
    if (parsed !== null && normalizeUrl(parsed) === wanted) return true;
    piece = piece.slice(0, cutAt(piece));
  }
  return false;
}

function cutAt(piece: string): number {
  let at = piece.length - 1;
  if (PUNCTUATION.has(piece[at] ?? "")) return at;
  while (at > 0 && !BRACKETS.has(piece[at] ?? "")) at--;
  return at;
}
