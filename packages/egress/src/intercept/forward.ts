/** One request of a client, through the policy of now, to its target and back. */
import { type Duplex, PassThrough, type Readable, Transform, type TransformCallback, type Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import type { Budget } from "../budget.ts";
import { EgressError } from "../egress-error.ts";
import type { AuditRow } from "../port.ts";
import { replacedLength } from "../substitution/byte-replacer.ts";
import { createReplaceStream } from "../substitution/replace-stream.ts";
import type { Substitution } from "../substitution/substitution.ts";
import { admit, authorityOf, denialFor, readPolicy, type Route } from "./admission.ts";
import { newAuditRow, recordAudit } from "./audit.ts";
import { decoderFor, notOpened } from "./content-coding.ts";
import type { ClientExchange, Framing, Upstream, UpstreamExchange, UpstreamRequest, UpstreamResponse } from "./exchange.ts";
import { endToEnd, type HeaderList, tokensOf, without } from "./headers.ts";
import { BUFFERED_BODY_BYTES_MAX } from "./limits.ts";
import type { InterceptorDeps } from "./port.ts";
import { codeOf } from "./upstream-dial.ts";

export interface Forwarding {
  deps: InterceptorDeps;
  route: Route;
  upstream: Upstream;
  /** For bodies that are read as a whole. */
  budget: Budget;
}

/** What goes out as a body. */
interface OutgoingBody {
  framing: Framing;
  send(into: Writable, row: AuditRow): Promise<void>;
  /** Gives back what it held. */
  release(): void;
}

/** From 200; Node sends no other. Some sites answer with 999. */
const STATUS_MAX = { "1.1": 999, "2": 599 };

type Hold = (bytes: number) => (() => void) | null;

/** Answers the client in any case, and records one audit row. Never rejects: nobody waits for it. */
export async function forward(exchange: ClientExchange, forwarding: Forwarding): Promise<void> {
  const started = performance.now();
  const row = newAuditRow(forwarding.route.target);
  let substitution: Substitution | null = null;
  try {
    substitution = await admit(forwarding.deps, forwarding.route, exchange, row);
    await relay(exchange, forwarding, substitution, row);
  } catch (error) {
    await fail(exchange, error, forwarding, row);
  } finally {
    row.credentialIds = substitution?.credentialIds() ?? [];
    recordAudit(forwarding.deps.audit, row, started);
  }
}

async function relay(
  exchange: ClientExchange,
  { route, upstream, budget }: Forwarding,
  substitution: Substitution,
  row: AuditRow,
) {
  const headers = outgoingHeaders(exchange.headers, substitution);
  const body = await prepareBody(exchange, substitution, (bytes) => budget.take(route.target.sandboxId, bytes));
  try {
    // Whole already: the client was told to go on by us.
    const waits = exchange.expectsContinue && body.framing === exchange.framing;
    const request: UpstreamRequest = {
      method: exchange.method,
      path: exchange.path,
      headers,
      authority: authorityOf(route),
      framing: body.framing,
      expectsContinue: waits,
      onContinue: () => waits && !exchange.responded() && exchange.sendContinue(),
      trailers: () => checkValues(substitution.requestHeaders(endToEnd(exchange.trailers()))),
      signal: exchange.gone,
    };
    await converse(exchange, await upstream.send(request), body, substitution, row);
  } finally {
    body.release();
  }
}

/** Body out and response in, at the same time: either may end first. */
async function converse(
  exchange: ClientExchange,
  out: UpstreamExchange,
  body: OutgoingBody,
  substitution: Substitution,
  row: AuditRow,
): Promise<void> {
  // A server may answer without reading the body; only if there is no answer is its failure the outcome.
  const sent = body.send(out.body, row).catch((error: unknown) => {
    sendingError = error;
  });
  let sendingError: unknown;
  const response = await out.response.catch((error: unknown) => {
    throw sendingError instanceof EgressError ? sendingError : error;
  });
  try {
    await respond(exchange, response, substitution, row);
  } catch (error) {
    response.body.destroy();
    out.body.destroy();
    throw error;
  }
  // A client that is still sending talks to nobody.
  if (!out.body.writableFinished) out.body.destroy();
  await sent;
}

async function prepareBody(exchange: ClientExchange, substitution: Substitution, hold: Hold): Promise<OutgoingBody> {
  const replacements = substitution.requestBody;
  const { framing } = exchange;
  const isEncoded = tokensOf(exchange.headers, "content-encoding").some((coding) => coding !== "identity");
  if (framing.type === "none") return { framing, send: async (into) => void into.end(), release: () => undefined };
  // A placeholder inside a compressed body cannot be seen.
  if (!replacements || isEncoded) return streamed(exchange.body, framing, []);
  const isSmall = framing.type === "length" && framing.length <= BUFFERED_BODY_BYTES_MAX;
  const release = isSmall ? hold(framing.length) : null;
  const putIn = createReplaceStream(replacements);
  if (!release) return streamed(exchange.body, { type: "open" }, [putIn]);
  try {
    if (exchange.expectsContinue) exchange.sendContinue();
    const whole = await buffer(exchange.body);
    // Only counted: with long secrets in, it may be a thousand times as long.
    const length = replacedLength(whole, replacements);
    return { ...streamed(PassThrough.from([whole]), { type: "length", length }, [putIn]), release };
  } catch (error) {
    release();
    throw error;
  }
}

function streamed(source: Readable, framing: Framing, through: Duplex[]): OutgoingBody {
  return {
    framing,
    async send(into, row) {
      const counted = countBytes((bytes) => {
        row.bytesOut += bytes;
      });
      const [first = counted, ...rest] = through.length > 0 ? [...through, counted] : [counted];
      // Piped, not in the pipeline: that would destroy the client's side when the server does not want the body.
      source.pipe(first);
      try {
        await pipeline([first, ...rest, into]);
      } catch (error) {
        source.unpipe(first);
        source.resume();
        throw error;
      }
    },
    release: () => undefined,
  };
}

export async function respond(
  exchange: ClientExchange,
  response: UpstreamResponse,
  substitution: Substitution,
  row: AuditRow,
): Promise<void> {
  if (response.status < 200 || response.status > STATUS_MAX[exchange.version]) {
    throw new EgressError(
      "failed",
      "upstream_status",
      `The server answered with a status that HTTP/${exchange.version} does not know.`,
    );
  }
  const stages: Duplex[] = [
    countBytes((bytes) => {
      row.bytesIn += bytes;
    }),
  ];
  let headers = substitution.responseHeaders(endToEnd(response.headers));
  const cover = hasBody(exchange, response) ? substitution.responseBody() : null;
  let isReadable = true;
  if (cover) {
    const decoder = decoderFor(response);
    if (decoder) {
      decoder.once("error", () => {
        isReadable = false;
      });
      stages.push(decoder);
      headers = without(headers, "content-encoding", "content-length");
    }
    stages.push(cover);
  }
  const trailers = (): HeaderList => substitution.responseHeaders(endToEnd(response.trailers()));
  const into = exchange.respond({ status: response.status, headers }, trailers);
  // Looked at before the failure of one end has taken the other with it.
  let brokeOff = false;
  const note = (): void => {
    brokeOff ||= !response.body.readableEnded && !exchange.gone.aborted;
  };
  response.body.once("error", note).once("close", note);
  try {
    await pipeline([response.body, ...stages, into]);
  } catch (error) {
    if (brokeOff) throw new EgressError("failed", "upstream_broke_off", "The response broke off.");
    throw isReadable ? error : notOpened();
  }
}

function hasBody({ method }: ClientExchange, { status }: UpstreamResponse): boolean {
  return method !== "HEAD" && status !== 204 && status !== 304;
}

export function outgoingHeaders(headers: HeaderList, substitution: Substitution): HeaderList {
  const replaced = checkValues(substitution.authorized(substitution.requestHeaders(endToEnd(headers))));
  if (!substitution.covers) return replaced;
  // What comes back is looked through: compressed it could not be.
  return [...without(replaced, "accept-encoding"), ["Accept-Encoding", "identity"]];
}

/** A secret with a line break in it would begin a header of its own. */
function checkValues(headers: HeaderList): HeaderList {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses.
  if (headers.every(([, value]) => !/[\u0000-\u0008\u000a-\u001f\u007f]/.test(value))) return headers;
  const message = "A credential for this host holds a line break or another control character, which no header can carry.";
  throw new EgressError("failed", "secret_not_a_header_value", message);
}

export function countBytes(onBytes: (count: number) => void): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback) {
      onBytes(chunk.length);
      done(null, chunk);
    },
  });
}

/** Tells the client, as far as it still listens, and the audit row. */
export async function fail(
  exchange: ClientExchange,
  error: unknown,
  { deps, route }: Pick<Forwarding, "deps" | "route">,
  row: AuditRow,
): Promise<void> {
  const { target } = route;
  const known = error instanceof EgressError ? error : null;
  if (!known && exchange.gone.aborted) return noteDeparture(deps, route, exchange, row);
  const message = `No answer from ${target.host}:${target.port}: ${codeOf(error)}.`;
  const told = known ?? new EgressError("failed", "upstream_failed", message);
  row.verdict = told.verdict;
  row.reason = told.reason;
  if (exchange.gone.aborted) return;
  try {
    if (exchange.responded()) exchange.abort();
    else respondError(exchange, told);
  } catch {
    // The stream of the client has ended under us; nobody is left to tell.
    exchange.abort();
  }
}

/** The client went, or the gateway has cut it off because its policy has changed. */
async function noteDeparture(deps: InterceptorDeps, route: Route, exchange: ClientExchange, row: AuditRow): Promise<void> {
  // One that cannot be read is none, as everywhere: the row says denied, which is why ways are cut then.
  const policy = await readPolicy(deps.policies, route.target.sandboxId).catch(() => null);
  const denial = denialFor(deps, policy, route, exchange);
  row.verdict = denial ? "denied" : "allowed";
  row.reason = denial?.reason ?? "client_left";
}

/** In words that the agent can read. */
export function respondError(exchange: ClientExchange, error: EgressError): void {
  const text = Buffer.from(`sandbox0 egress gateway: ${error.message}\n`);
  const headers: [string, string][] = [
    ["Content-Type", "text/plain; charset=utf-8"],
    ["Content-Length", String(text.length)],
    ["X-Sandbox0-Denied", error.reason],
  ];
  exchange.respond({ status: error.status, headers }, () => []).end(exchange.method === "HEAD" ? undefined : text);
}
