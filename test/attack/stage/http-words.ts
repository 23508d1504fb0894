import type { Attack, Outcome } from "./hostile-client.ts";

/** Things to say to the proxy of a sandbox, well-formed or not. */

export function connectTo(authority: string, ...then: Extract<Attack, { try: "talk" }>["say"]): Attack {
  return { try: "talk", to: "proxy", say: [`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`, ...then] };
}

/** A tunnel, TLS with this name in it, and a request for this host. */
export function connectTls(authority: string, sni: string | null, host: string): Attack {
  return connectTo(authority, { tls: sni }, get("/", host));
}

export function get(target: string, host: string): string {
  return `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
}

/** A plain request in absolute form, as a client of a proxy sends it. */
export function plainGet(url: string, host = URL.parse(url)?.host ?? ""): Attack {
  return { try: "talk", to: "proxy", say: [get(url, host)] };
}

export function sayRaw(...say: string[]): Attack {
  return { try: "talk", to: "proxy", say };
}

const SOCKS_GREETING = "\x05\x01\x00";
const SOCKS_VERSION = 5;
const SOCKS_CONNECT = 1;

/** SOCKS5 (RFC 1928) with a name, or an address given as its bytes. */
export function socks(host: string | readonly number[], port: number, ...then: string[]): Attack {
  return { try: "talk", to: "proxy", say: [SOCKS_GREETING, socksRequest(SOCKS_CONNECT, host, port), ...then] };
}

/** Any other SOCKS5 command: 2 is BIND, 3 is UDP ASSOCIATE. */
export function socksCommand(command: number, host: string | readonly number[], port: number): Attack {
  return { try: "talk", to: "proxy", say: [SOCKS_GREETING, socksRequest(command, host, port)] };
}

function socksRequest(command: number, host: string | readonly number[], port: number): string {
  const kind = typeof host === "string" ? 3 : host.length === 4 ? 1 : 4;
  const bytes = typeof host === "string" ? [host.length, ...Buffer.from(host, "latin1")] : host;
  return Buffer.from([SOCKS_VERSION, command, 0, kind, ...bytes, port >> 8, port & 255]).toString("latin1");
}

/** Every HTTP status line in what came back, and every answer to a SOCKS request; for the message of a failure. */
export function refusalsIn({ answers, error }: Outcome): string[] {
  const heard = answers.join("\n");
  const statuses = [...heard.matchAll(/^HTTP\/1\.[01] (4\d\d|5\d\d)/gm)].map((match) => match[1] ?? "");
  const socksRefused = answers
    .filter((answer) => answer.charCodeAt(0) === SOCKS_VERSION && answer.charCodeAt(1) !== 0)
    .map(() => "socks");
  return [...statuses, ...socksRefused, ...(error === null ? [] : [error])];
}
