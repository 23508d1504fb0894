import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressGuard } from "../address-guard.ts";
import { type Budget, createBudget, type Hold } from "../budget.ts";
import type { ModelRoute, ModelSource, ModelSpan, PolicySource } from "../port.ts";
import { createHeldBytes } from "./held-bytes.ts";
import { MODEL_GATEWAY_LIMITS, type ModelGatewayLimits } from "./limits.ts";
import { createAnswerMeter, createStreamMeter, type Meter, type MeterOptions } from "./meter.ts";
import { type Operation, operationOf, vendorOf } from "./operation.ts";
import { createProviderClient, type ProviderAnswer, type ProviderClient } from "./provider-client.ts";
import { requestHeaders, secretOf, tokenOf } from "./provider-headers.ts";
import { reachDenial, reachOf } from "./provider-reach.ts";
import { Refusal, sendRefusal } from "./refusal.ts";
import { BrokenOff, relay } from "./relay.ts";
import { type ModelRequest, providerBody, readModelRequest } from "./request-body.ts";
import { retryAfterMs } from "./retry-after.ts";
import { NO_USAGE } from "./usage.ts";

export interface ModelGatewayOptions {
  models: ModelSource;
  /** Asked only for requests that would have the provider reach out (`reachOf`). */
  policies: PolicySource;
  /** For routes that are not the operator's own. */
  guard: AddressGuard;
  /** A source failed, or a bug of ours: for the server's log. The sandbox is told nothing of it. */
  onProblem: (error: unknown, sandboxId: string) => void;
  limits?: Partial<ModelGatewayLimits>;
}

/**
 * The only way from a sandbox to a model (design §7): `POST /model/v1/messages`, `/messages/count_tokens`, `/responses` and
 * `/chat/completions`, so that a harness needs `http://127.0.0.1:PORT/model` (Anthropic) or `.../model/v1` (OpenAI) as its
 * base URL and a session token as its key.
 */
export interface ModelGateway {
  /** Owns the response; never throws. Errors come in the vendor's own shape. */
  handle(req: IncomingMessage, res: ServerResponse, sandboxId: string): void;
  /** Cuts what is under way; resolves when all of it has left its span. */
  close(): Promise<void>;
}

interface Parts extends Omit<ModelGatewayOptions, "limits"> {
  limits: ModelGatewayLimits;
  slots: Budget;
  /** Bytes of requests, and of answers that are metered. */
  bodies: Budget;
  answers: Budget;
  client: ProviderClient;
}

/** One request: who asks, and what ends with them. */
interface Exchange {
  req: IncomingMessage;
  res: ServerResponse;
  sandboxId: string;
  at: Date;
  startedMs: number;
  /** The memory that the body takes. */
  hold: Hold;
  /** Aborts when the client has gone. */
  signal: AbortSignal;
}

export function createModelGateway(options: ModelGatewayOptions): ModelGateway {
  const limits = { ...MODEL_GATEWAY_LIMITS, ...options.limits };
  const parts: Parts = {
    ...options,
    limits,
    slots: createBudget(Number.POSITIVE_INFINITY, limits.requestsPerSandboxMax),
    bodies: createBudget(limits.bufferedBytesMax, limits.bufferedBytesPerSandboxMax),
    answers: createBudget(limits.heldAnswersBytesMax, limits.heldAnswersBytesPerSandboxMax),
    client: createProviderClient(options.guard, limits),
  };
  /** What is under way, by its response. */
  const open = new Map<ServerResponse, Promise<void>>();
  let closed = false;
  return {
    handle(req, res, sandboxId) {
      if (closed) return void res.destroy();
      open.set(
        res,
        answer(parts, req, res, sandboxId).finally(() => open.delete(res)),
      );
    },
    async close() {
      closed = true;
      const ending = [...open.values()];
      for (const res of open.keys()) res.destroy();
      await parts.client.close();
      await Promise.all(ending);
    },
  };
}

async function answer(parts: Parts, req: IncomingMessage, res: ServerResponse, sandboxId: string): Promise<void> {
  const gone = new AbortController();
  res.once("close", () => gone.abort());
  const hold = parts.bodies.open(sandboxId);
  const times = { at: new Date(), startedMs: performance.now() };
  const exchange: Exchange = { req, res, sandboxId, ...times, hold, signal: gone.signal };
  const leave = parts.slots.take(sandboxId, 1);
  try {
    if (leave === null) throw new Refusal("busy", "This sandbox has too many model requests at once.");
    const operation = operationOf(req);
    const sessionId = await sessionOf(parts, exchange);
    const prepared = await prepare(parts, exchange, operation, sessionId);
    await ask(parts, exchange, operation, prepared);
  } catch (error) {
    refuse(parts, exchange, error);
  } finally {
    hold.release();
    leave?.();
  }
}

function refuse(parts: Parts, { req, res, sandboxId, signal }: Exchange, error: unknown): void {
  const refusal = error instanceof Refusal ? error : new Refusal("bug", "The model gateway failed.");
  // That a client goes in the middle of its body or of the answer is no problem of ours, nor that a provider does.
  const expected = error === refusal || error instanceof BrokenOff || signal.aborted || req.destroyed;
  if (!expected) parts.onProblem(error, sandboxId);
  sendRefusal(res, vendorOf(req), refusal);
}

/** What a source cannot answer means no way out; the harness may try again. */
async function askSource<T>(parts: Parts, { sandboxId }: Exchange, question: () => Promise<T>): Promise<T> {
  try {
    return await question();
  } catch (error) {
    parts.onProblem(error, sandboxId);
    throw new Refusal("overloaded", "The model gateway cannot check this request now. Try again.");
  }
}

async function sessionOf(parts: Parts, exchange: Exchange): Promise<string> {
  const token = tokenOf(exchange.req.headers);
  const sessionId = token && (await askSource(parts, exchange, () => parts.models.sessionOf(exchange.sandboxId, token)));
  if (!sessionId) throw new Refusal("unauthenticated", "The session token is missing, or not good for this sandbox.");
  return sessionId;
}

interface Prepared {
  span: { sessionId: string; model: string };
  route: ModelRoute;
  url: URL;
  headers: Record<string, string | string[]>;
  /** Let go as soon as it is sent. */
  body: Buffer;
  hidesUsage: boolean;
}

const NOTHING = Buffer.alloc(0);
const NOT_FOUND = 404;
const ERROR_STATUS_MIN = 400;

/** Everything that must hold before the provider hears of the request. @throws Refusal */
async function prepare(parts: Parts, exchange: Exchange, operation: Operation, sessionId: string): Promise<Prepared> {
  const request = await readModelRequest(exchange.req, exchange.res, parts.limits, exchange.hold);
  const route = await routeOf(parts, exchange, sessionId, request.model);
  if (route.api !== operation.api)
    throw new Refusal(
      "invalid",
      `The model ${JSON.stringify(request.model)} is not served over this API: use ${PATHS[route.api]}.`,
    );
  await checkReach(parts, exchange, operation, sessionId, request);
  const { body, hidesUsage } = providerBody(operation.api, request);
  // Whoever asked for it has gone: the request that may go out is left to the next one.
  if (exchange.signal.aborted) throw new BrokenOff("client");
  if (operation.generates) admit(parts, exchange, sessionId);
  const headers = requestHeaders(exchange.req.headers, route, body);
  return { span: { sessionId, model: request.model }, route, url: urlOf(route, operation), headers, body, hidesUsage };
}

const PATHS: Readonly<Record<ModelRoute["api"], string>> = {
  "anthropic-messages": "POST /v1/messages",
  "openai-responses": "POST /v1/responses",
  "openai-completions": "POST /v1/chat/completions",
};

async function routeOf(parts: Parts, exchange: Exchange, sessionId: string, model: string): Promise<ModelRoute> {
  const route = await askSource(parts, exchange, () => parts.models.routeOf(sessionId, model));
  if ("denied" in route) throw new Refusal("forbidden", route.denied);
  return route;
}

async function checkReach(
  parts: Parts,
  exchange: Exchange,
  { api }: Operation,
  sessionId: string,
  { json }: ModelRequest,
): Promise<void> {
  const reach = reachOf(api, json);
  for (const model of new Set(reach.models)) await routeOf(parts, exchange, sessionId, model);
  if (reach.urls.length === 0 && reach.serverTools.length === 0) return;
  const policy = await askSource(parts, exchange, () => parts.policies.policyOf(exchange.sandboxId));
  const denial = policy ? reachDenial(reach, policy) : "This sandbox belongs to no session any more.";
  if (denial !== null) throw new Refusal("forbidden", denial);
}

function admit({ models }: Parts, { sandboxId }: Exchange, sessionId: string): void {
  const refused = models.admit(sandboxId, sessionId);
  if (refused !== null) throw new Refusal(kindOf(refused.repeats), refused.denied);
}

/** A refusal must not be told as a worse failure than the one that the program meant to mend. */
function kindOf(repeats: number | null): Refusal["kind"] {
  if (repeats === NOT_FOUND) return "not_found";
  // It had begun, and broke off.
  return repeats !== null && repeats < ERROR_STATUS_MIN ? "provider" : "forbidden";
}

function urlOf({ baseUrl }: ModelRoute, { providerPath, search }: Operation): URL {
  const url = new URL(baseUrl);
  url.pathname = `${url.pathname.replace(/\/$/, "")}${providerPath}`;
  if (url.search === "") url.search = search;
  return url;
}

/** Asks the provider and passes its answer on; leaves one span, however it ends. */
async function ask(parts: Parts, exchange: Exchange, operation: Operation, prepared: Prepared): Promise<void> {
  const { limits } = parts;
  const { res, sandboxId, signal, startedMs } = exchange;
  const held = parts.answers.open(sandboxId);
  let status: number | null = null;
  let retryAfter: number | null = null;
  let firstTokenMs: number | null = null;
  let meter: Meter | null = null;
  const onFirstToken = (): void => {
    firstTokenMs = performance.now() - startedMs;
  };
  try {
    const answer = await send(parts.client, prepared, signal);
    exchange.hold.release();
    status = answer.statusCode;
    if (status >= ERROR_STATUS_MIN) retryAfter = retryAfterMs(answer.headers, new Date());
    if (operation.generates) {
      const { hidesUsage } = prepared;
      meter = meterOf(answer, {
        api: operation.api,
        held: createHeldBytes(limits.meteredBytesMax, held),
        hidesUsage,
        onFirstToken,
      });
    }
    await relay(answer, res, { meter, secret: secretOf(prepared.route), silenceMs: limits.silenceMs, signal });
  } finally {
    held.release();
    if (operation.generates) {
      const totalMs = performance.now() - startedMs;
      const usage = meter?.usage() ?? NO_USAGE;
      record(parts, exchange, {
        ...prepared.span,
        at: exchange.at,
        status,
        retryAfterMs: retryAfter,
        firstTokenMs,
        totalMs,
        ...usage,
      });
    }
  }
}

/** An answer takes minutes: what asked for it is not kept so long. */
function send(client: ProviderClient, prepared: Prepared, signal: AbortSignal): Promise<ProviderAnswer> {
  const { url, headers, body, route } = prepared;
  prepared.body = NOTHING;
  return client.send({ url, guarded: route.guarded, headers, body, signal });
}

function record(parts: Parts, { sandboxId }: Exchange, span: ModelSpan): void {
  try {
    parts.models.record(span);
  } catch (error) {
    parts.onProblem(error, sandboxId);
  }
}

function meterOf({ headers }: ProviderAnswer, options: MeterOptions): Meter {
  const isStream = String(headers["content-type"] ?? "").startsWith("text/event-stream");
  return isStream ? createStreamMeter(options) : createAnswerMeter(options.api, options.held);
}
