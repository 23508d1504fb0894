import { isIP } from "node:net";

/** A host as everything here compares it. `text`: lower case, ASCII, no trailing dot; addresses canonical, without brackets. */
export interface Host {
  text: string;
  kind: "name" | "address";
}

const NAME_CHARS_MAX = 253;
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
/** A name that the parser leaves as it is. One whose last label begins with a digit may be an address. */
const PLAIN_NAME = /^(?:[a-z0-9_-]+\.)*[a-z][a-z0-9_-]*$/;
/** What the URL parser would read as more than a host, or decode; and what no host has. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses.
const NOT_IN_A_HOST = /[\u0000-\u0020\u007f/\\?#@%<>^|`{}"',;]/;
const MAPPED_IPV4 = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/;

/**
 * Reads a host in any of its spellings, the way browsers do (WHATWG URL): case, international names, one trailing dot, and
 * addresses in decimal, octal, hexadecimal, short and IPv4-mapped form. `null` when it is none: empty labels, zone ids,
 * ports, escapes.
 */
export const parseHost = (text: string): Host | null => {
  if (text === "" || text.length > 2 * NAME_CHARS_MAX || NOT_IN_A_HOST.test(text)) return null;
  const bare = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
  if (bare.includes(":")) return parseIpv6(bare);
  if (bare !== text) return null;
  const url = URL.parse(`http://${text}/`);
  if (!url) return null;
  const name = url.hostname.endsWith(".") ? url.hostname.slice(0, -1) : url.hostname;
  if (isIP(name) === 4) return { text: name, kind: "address" };
  const valid = name.length <= NAME_CHARS_MAX && name.split(".").every((label) => LABEL.test(label));
  return valid ? { text: name, kind: "name" } : null;
};

/** An IPv4 address in IPv6 clothes is that IPv4 address: rules are about where it leads. */
const parseIpv6 = (text: string): Host | null => {
  if (isIP(text) !== 6) return null;
  const canonical = URL.parse(`http://[${text}]/`)?.hostname.slice(1, -1);
  if (canonical === undefined) return null;
  const mapped = MAPPED_IPV4.exec(canonical);
  if (!mapped?.[1] || !mapped[2]) return { text: canonical, kind: "address" };
  const bits = [Number.parseInt(mapped[1], 16), Number.parseInt(mapped[2], 16)];
  return { text: bits.map((pair) => `${pair >> 8}.${pair & 255}`).join("."), kind: "address" };
};

/** Whether `rule` means `host` (semantics §3): itself, or with `*.x` every name below x, but not x. */
export const hostMatches = (rule: string, host: string): boolean => hostMatchesAny([rule], host);

/** Whether one of `rules` does. Asked for every open connection each second: the host is read once. */
export const hostMatchesAny = (rules: readonly string[], host: string): boolean => {
  const target = parseHost(host);
  return target !== null && rules.some((rule) => means(rule, target));
};

const means = (rule: string, target: Host): boolean => {
  const isWide = rule.startsWith("*.");
  const named = readRule(isWide ? rule.slice(2) : rule);
  if (!isWide) return named?.text === target.text;
  return named?.kind === "name" && target.kind === "name" && target.text.endsWith(`.${named.text}`);
};

/** Most rules are written as names are compared; to parse them would cost more than all the rest. */
const readRule = (text: string): Host | null =>
  PLAIN_NAME.test(text) && !text.includes("xn--") ? { text, kind: "name" } : parseHost(text);

/** For URLs and `Host` headers: IPv6 in brackets. */
export const hostInUrl = (host: string): string => (host.includes(":") ? `[${host}]` : host);

/** Reads `host:port`, the target of CONNECT; a port is needed unless there is a default. */
export const parseAuthority = (text: string, defaultPort?: number): { host: Host; port: number } | null => {
  const split = /^(.*?|\[[^\]]*\])(?::([0-9]{1,5}))?$/.exec(text);
  const host = parseHost(split?.[1] ?? "");
  const port = split?.[2] === undefined ? defaultPort : Number(split[2]);
  return host && port !== undefined && port >= 1 && port <= 65_535 ? { host, port } : null;
};
