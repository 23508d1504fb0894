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

/** Without the fragment, which no server sees. */
export function withoutFragment(url: URL): URL {
  const copy = new URL(url);
  copy.hash = "";
  return copy;
}

/**
 * Whether a text shows this URL. Punctuation around it does not matter, and neither does how it is written (case of the
 * host, default port, escapes, a fragment, a slash at the end). Where `http` was shown `https` is the same page, not the
 * other way round.
 * @param bare people write `example.com/page` and mean a page: without the scheme it counts as well
 */
export function textShowsUrl(text: string, url: URL, options: { bare: boolean }): boolean {
  const hostname = hostnameOf(url);
  for (const { index, 0: scheme } of text.matchAll(SCHEME)) {
    if (hostAt(text, index + scheme.length) === hostname && shows(text, index, "", url)) return true;
  }
  if (!options.bare) return false;
  for (const { index } of text.matchAll(new RegExp(`(?<![\\w@/:.-])${hostname.replace(/[.[\]]/g, "\\$&")}`, "gi"))) {
    if (shows(text, index, `${url.protocol}//`, url)) return true;
  }
  return false;
}

/** The host that a URL's text names behind its scheme; looked at first, because most URLs of a text are others. */
function hostAt(text: string, start: number): string | null {
  HOST.lastIndex = start;
  const written = HOST.exec(text)?.[0].replace(/[.:!?_~]+$/, "");
  const parsed = written === undefined ? null : URL.parse(`http://${written}/`);
  return parsed && hostnameOf(parsed);
}

/** One trailing dot means the same host. */
function hostnameOf(url: URL): string {
  return url.hostname.replace(/\.$/, "");
}

function isSamePage(shown: URL, wanted: URL): boolean {
  const isScheme = shown.protocol === wanted.protocol || (shown.protocol === "http:" && wanted.protocol === "https:");
  return isScheme && pageOf(shown) === pageOf(wanted);
}

function pageOf(url: URL): string {
  const { username, password, port, pathname, search } = url;
  return [username, password, hostnameOf(url), port, pathname.replace(/\/$/, ""), search].join("\n");
}

/** Tries the longest piece of text that could be a URL, then the same without what may be text around it. */
function shows(text: string, start: number, scheme: string, wanted: URL): boolean {
  let piece = text.slice(start, start + URL_CHARS_MAX);
  const end = piece.search(END);
  if (end >= 0) piece = piece.slice(0, end);
  for (let cuts = 0; piece !== "" && cuts < CUTS_MAX; cuts++) {
    const parsed = URL.parse(scheme + piece);
    if (parsed !== null && isSamePage(parsed, wanted)) return true;
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
