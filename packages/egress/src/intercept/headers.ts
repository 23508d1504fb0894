/** Header fields as they came: order, case and repetition kept. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/** For one hop only (RFC 9110 §7.6.1), and what is meant for us as a proxy. */
const HOP_BY_HOP = new Set([
  "connection",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

/** Pairs of Node's flat list of names and values. HTTP/2's pseudo-headers are not header fields. */
export function toHeaderList(raw: readonly string[]): HeaderList {
  const headers: [string, string][] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? "";
    if (!name.startsWith(":")) headers.push([name, raw[at + 1] ?? ""]);
  }
  return headers;
}

export function valuesOf(headers: HeaderList, name: string): string[] {
  return headers.filter(([other]) => other.toLowerCase() === name).map(([, value]) => value);
}

/** The members of a list header, in lower case. */
export function tokensOf(headers: HeaderList, name: string): string[] {
  return valuesOf(headers, name)
    .flatMap((value) => value.split(","))
    .map((token) => token.trim().toLowerCase())
    .filter((token) => token !== "");
}

export function without(headers: HeaderList, ...names: string[]): HeaderList {
  return headers.filter(([name]) => !names.includes(name.toLowerCase()));
}

/** What goes on to the next hop: not the fields of this one, nor those that `Connection` names. gRPC needs `te: trailers`. */
export function endToEnd(headers: HeaderList): HeaderList {
  const named = tokensOf(headers, "connection");
  return headers.filter(([name, value]) => {
    const lower = name.toLowerCase();
    if (lower === "te") return value.trim().toLowerCase() === "trailers";
    return !HOP_BY_HOP.has(lower) && !named.includes(lower);
  });
}

/** HTTP/2 clients may send a cookie in pieces; HTTP/1 knows one field. */
export function joinCookies(headers: HeaderList): HeaderList {
  const cookies = valuesOf(headers, "cookie");
  return cookies.length < 2 ? headers : [...without(headers, "cookie"), ["cookie", cookies.join("; ")]];
}

/** In the shape of Node's HTTP/2: lower-case names, repeated fields as lists. */
export function toHttp2Headers(headers: HeaderList): Record<string, string | string[]> {
  const result: Record<string, string | string[]> = Object.create(null);
  for (const [name, value] of headers) {
    const lower = name.toLowerCase();
    const earlier = result[lower];
    // The one value that `endToEnd` lets pass, and Node only in this spelling and once.
    if (lower === "te") result[lower] = "trailers";
    else result[lower] = earlier === undefined ? value : [earlier, value].flat();
  }
  return result;
}
