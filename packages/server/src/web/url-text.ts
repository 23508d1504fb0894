/** Longer ones are neither fetched nor looked for. */
export const URL_CHARS_MAX = 2_048;

const SCHEME = /https?:\/\//gi;
/** What ends a URL wherever it stands. */
const END = /[\s<>"`{}|\\^]/;
/** May be part of a URL, and may be the text around it, also in the middle of what looks like one. */
const BRACKETS = new Set("()[]'*,;");
/** May be the text behind it, as its last characters only. */
const PUNCTUATION = new Set(".:!?_~");
const HOST = /\[[0-9a-f:.]{2,64}\](?::\d{1,5})?|[^\s<>"`{}|\\^()[\]'*,;/?#]{1,320}/iy;
/** URLs of the wanted host that are looked at in one text. A page that has more was made to take time. */
const CANDIDATES_MAX = 2_000;

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
  let candidates = 0;
  for (const { index, 0: scheme } of text.matchAll(SCHEME)) {
    const start = index + scheme.length;
    // Looked at first, because most URLs of a text are others.
    const host = hostAt(text, start);
    if (namedBy(host) !== hostname) continue;
    if (shows(text, { start, host, scheme }, url)) return true;
    candidates += 1;
    if (candidates === CANDIDATES_MAX) return false;
  }
  if (!options.bare) return false;
  for (const { index } of text.matchAll(new RegExp(`(?<![\\w@/:.-])${hostname.replace(/[.[\]]/g, "\\$&")}`, "gi"))) {
    if (shows(text, { start: index, host: hostAt(text, index), scheme: `${url.protocol}//` }, url)) return true;
    candidates += 1;
    if (candidates === CANDIDATES_MAX) return false;
  }
  return false;
}

/** Where a URL may stand: its host as it is written, with its port, and the scheme that is written or meant before. */
interface Candidate {
  start: number;
  host: string;
  scheme: string;
}

function hostAt(text: string, start: number): string {
  HOST.lastIndex = start;
  return HOST.exec(text)?.[0] ?? "";
}

function namedBy(host: string): string | null {
  const parsed = URL.parse(`http://${withoutPunctuation(host)}/`);
  return parsed && hostnameOf(parsed);
}

function withoutPunctuation(text: string): string {
  let end = text.length;
  while (PUNCTUATION.has(text[end - 1] ?? "")) end--;
  return text.slice(0, end);
}

/** One trailing dot means the same host. */
function hostnameOf(url: URL): string {
  return url.hostname.replace(/\.$/, "");
}

/**
 * Reads the longest piece of text that could be a URL, once: what is left of it without the text around it is a beginning
 * of what the parser made of it, because the parser writes each character for itself.
 */
function shows(text: string, { start, host, scheme }: Candidate, wanted: URL): boolean {
  const goesOn = /^[/?#]/.test(text.slice(start + host.length, start + host.length + 1));
  const shown = URL.parse(scheme + (goesOn ? longestAt(text, start) : withoutPunctuation(host)));
  return shown !== null && isSameSite(shown, wanted) && showsPage(shown, wanted);
}

function longestAt(text: string, start: number): string {
  const piece = text.slice(start, start + URL_CHARS_MAX);
  const end = piece.search(END);
  return end < 0 ? piece : piece.slice(0, end);
}

function isSameSite(shown: URL, wanted: URL): boolean {
  const isScheme = shown.protocol === wanted.protocol || (shown.protocol === "http:" && wanted.protocol === "https:");
  return isScheme && siteOf(shown) === siteOf(wanted);
}

function siteOf(url: URL): string {
  return [url.username, url.password, hostnameOf(url), url.port].join("\n");
}

/** Whether `shown` is `wanted` and then nothing but what may be the text around it. A slash at the path's end is no matter. */
function showsPage(shown: URL, wanted: URL): boolean {
  const path = withoutSlash(wanted.pathname);
  if (wanted.search !== "") {
    const isPath = withoutSlash(shown.pathname) === path;
    return isPath && shown.search.startsWith(wanted.search) && mayEndAt(shown.search, wanted.search.length);
  }
  const end = shown.pathname[path.length] === "/" ? path.length + 1 : path.length;
  return shown.pathname.startsWith(path) && mayEndAt(shown.pathname + shown.search, end);
}

function withoutSlash(path: string): string {
  return path.endsWith("/") ? path.slice(0, -1) : path;
}

function mayEndAt(text: string, end: number): boolean {
  let at = end;
  while (PUNCTUATION.has(text[at] ?? "")) at++;
  // An apostrophe in a query is written so.
  return at >= text.length || BRACKETS.has(text[at] ?? "") || text.startsWith("%27", at);
}
