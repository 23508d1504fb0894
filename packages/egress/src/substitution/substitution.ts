/**
 * One request's secrets: put in on the way out, covered on the way back. An upstream may show what it was sent (an echo, an
 * error page); the sandbox then sees the placeholder. That is a net for accidents: an upstream that encodes a secret in
 * some way of its own, or hands it out in pieces, gives it away, so a credential belongs to hosts that do not.
 */
import type { Duplex } from "node:stream";
import type { HeaderList } from "../intercept/headers.ts";
import { EgressError } from "../egress-error.ts";
import { HEADER_BYTES_MAX } from "../intercept/limits.ts";
import { type Replacement, replaceBytesWithin } from "./byte-replacer.ts";
import { createReplaceStream } from "./replace-stream.ts";

/** A credential that may go to the host of the request. */
export interface BoundSecret {
  id: string;
  placeholder: string;
  secret: string;
  inHeader: boolean;
  inBody: boolean;
}

/** The token of a repository at the host of the request. */
export interface RepositoryToken {
  id: string;
  token: string;
  /** The request is git with this repository: the first one counts. */
  putIn: boolean;
}

export interface Substitution {
  /** Also for trailers. Values only; inside `Basic` as well. Throws an `EgressError` when they get too large. */
  requestHeaders(headers: HeaderList): HeaderList;
  /** With the repository's token as their `Authorization`, where the request is git with it and brings none of its own. */
  authorized(headers: HeaderList): HeaderList;
  /** `null`: no credential goes into bodies. */
  requestBody: readonly Replacement[] | null;
  /** Throws as `requestHeaders` does: here it is the upstream's answer that fails. */
  responseHeaders(headers: HeaderList): HeaderList;
  /** A stream of the same length; `null`: nothing to cover. */
  responseBody(): Duplex | null;
  /** What a body stream covers, for those who frame by themselves. Asked for when the request has gone. */
  responseReplacements(): readonly Replacement[];
  covers: boolean;
  /** Whose secret was put in so far. */
  credentialIds(): readonly string[];
}

/** A shorter secret is not covered: it would be found by chance all over the responses. */
const COVERED_BYTES_MIN = 8;
const PADDING = "*";
const BASIC = /^(\s*basic\s+)([a-z0-9+/_-]+={0,2})\s*$/i;
/** HTTP fields are bytes, which Node shows as one character each. */
const WIRE = "latin1";

/** How git hosts take a token: as the password of any user. This is GitHub's name for one. */
const TOKEN_USER = "x-access-token";
/** What a sandbox sees in place of a token, which has no placeholder. */
const HIDDEN_TOKEN = "sandbox0_hidden_repository_token";

export function createSubstitution(secrets: readonly BoundSecret[], tokens: readonly RepositoryToken[] = []): Substitution {
  const used = new Set<string>();
  const putIn = (place: "inHeader" | "inBody"): Replacement[] =>
    secrets
      .filter((secret) => secret[place] && secret.placeholder !== "")
      .map(({ id, placeholder, secret }) => ({
        find: Buffer.from(placeholder),
        put: Buffer.from(secret),
        onHit: () => used.add(id),
      }));
  const intoHeaders = putIn("inHeader");
  const intoBody = putIn("inBody");
  const covered = [...secrets.flatMap(coversOf), ...tokens.flatMap(coversOfToken)];
  /** What went out inside `Basic`, and what the sandbox had written. */
  const basics: Cover[] = [];

  const outgoing = (name: string, value: string, bytesMax: number): string | null => {
    const basic = name.toLowerCase() === "authorization" ? BASIC.exec(value) : null;
    if (!basic?.[1] || !basic[2]) return replaceText(value, intoHeaders, bytesMax);
    const plain = Buffer.from(basic[2], "base64");
    const replaced = replaceBytesWithin(plain, intoHeaders, bytesMax);
    if (replaced === null) return null;
    if (replaced.equals(plain)) return replaceText(value, intoHeaders, bytesMax);
    const sent = replaced.toString("base64");
    basics.push({ find: sent, show: basic[2] });
    return `${basic[1]}${sent}`;
  };
  const responseReplacements = () => uniqueByFind([...basics, ...covered].map(toSameLength));
  return {
    requestHeaders: (headers) => (intoHeaders.length === 0 ? headers : mapValues(headers, outgoing, "denied")),
    authorized(headers) {
      const own = tokens.find(({ putIn }) => putIn);
      if (own === undefined || headers.some(([name]) => name.toLowerCase() === "authorization")) return headers;
      used.add(own.id);
      return [...headers, ["Authorization", `Basic ${basicOf(own.token)}`]];
    },
    requestBody: intoBody.length === 0 ? null : intoBody,
    responseHeaders(headers) {
      const replacements = uniqueByFind([...basics, ...covered].map(toReplacement));
      return replacements.length === 0
        ? headers
        : mapValues(headers, (_name, value, bytesMax) => replaceText(value, replacements, bytesMax), "failed");
    },
    responseBody() {
      const replacements = responseReplacements();
      return replacements.length === 0 ? null : createReplaceStream(replacements);
    },
    responseReplacements,
    covers: covered.length > 0,
    credentialIds: () => [...used],
  };
}

/** A text that may come back, and what the sandbox sees instead. */
interface Cover {
  find: string;
  show: string;
}

/** A secret as it is, and as JSON and URLs write it. */
function coversOf({ secret, placeholder }: Pick<BoundSecret, "secret" | "placeholder">): Cover[] {
  if (Buffer.byteLength(secret) < COVERED_BYTES_MIN) return [];
  const json = JSON.stringify(secret).slice(1, -1);
  const spellings = [secret, json, json.replaceAll("/", "\\/"), encodeURIComponent(secret.toWellFormed())];
  return [...new Set(spellings)].map((find) => ({ find, show: placeholder }));
}

/** As a credential's secret, and as it goes out. */
function coversOfToken({ token }: RepositoryToken): Cover[] {
  return [...coversOf({ secret: token, placeholder: HIDDEN_TOKEN }), { find: basicOf(token), show: HIDDEN_TOKEN }];
}

function basicOf(token: string): string {
  return Buffer.from(`${TOKEN_USER}:${token}`).toString("base64");
}

/** Two credentials may hold one secret: the first one's placeholder is shown. */
function uniqueByFind(replacements: readonly Replacement[]): Replacement[] {
  const seen = new Set<string>();
  return replacements.filter(({ find }) => {
    const key = find.toString(WIRE);
    return !seen.has(key) && seen.add(key);
  });
}

function toReplacement({ find, show }: Cover): Replacement {
  return { find: Buffer.from(find), put: Buffer.from(show) };
}

/**
 * Of the length of what it covers, so that lengths, ranges and frames that the upstream has announced stay right: the
 * placeholder, cut or filled up.
 */
function toSameLength({ find, show }: Cover): Replacement {
  const bytes = Buffer.from(find);
  return { find: bytes, put: Buffer.concat([Buffer.from(show), Buffer.alloc(bytes.length, PADDING)]).subarray(0, bytes.length) };
}

/** All of them together as large as headers may come, and no larger: a secret may be much longer than its placeholder. */
function mapValues(
  headers: HeaderList,
  change: (name: string, value: string, bytesMax: number) => string | null,
  verdict: EgressError["verdict"],
): HeaderList {
  let left = HEADER_BYTES_MAX;
  return headers.map(([name, value]) => {
    left -= name.length;
    const changed = change(name, value, left);
    if (changed === null || changed.length > left) throw tooLarge(verdict);
    left -= changed.length;
    return [name, changed] as const;
  });
}

function replaceText(value: string, replacements: readonly Replacement[], bytesMax: number): string | null {
  return replaceBytesWithin(Buffer.from(value, WIRE), replacements, bytesMax)?.toString(WIRE) ?? null;
}

function tooLarge(verdict: EgressError["verdict"]): EgressError {
  const message = `With secrets and placeholders in their places, the headers ${verdict === "failed" ? "of the answer " : ""}are larger than ${HEADER_BYTES_MAX} bytes.`;
  return new EgressError(verdict, "headers_too_large", message, verdict === "denied" ? 431 : 502);
}
