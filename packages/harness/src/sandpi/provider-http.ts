import { Agent as HttpAgent, type ClientRequest, type IncomingMessage, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { type Agents, createGuardedAgents, type Dial } from "./guarded-agents.ts";

export interface ProviderTimeouts {
  /** Until the status line. Long, because a provider may read a full context before it says anything. */
  firstByteMs: number;
  /** Between two pieces of a stream. Some providers are silent while the model thinks. */
  idleMs: number;
  /** Of the whole request. */
  totalMs: number;
}

export const PROVIDER_TIMEOUTS: ProviderTimeouts = { firstByteMs: 300_000, idleMs: 300_000, totalMs: 3_600_000 };

/** A free connection is kept this long, so that the next step of a session finds it open (a TLS handshake saved). */
const FREE_CONNECTION_MS = 60_000;
const FREE_CONNECTIONS_MAX = 256;
const ERROR_BODY_BYTES_MAX = 64 * 1024;

/** What went wrong below the API: the provider's error answer, or no answer. */
export type HttpFailure =
  | { type: "status"; status: number; retryAfterMs: number | null; body: string }
  | { type: "timeout"; what: "first byte" | "idle" | "total"; ms: number }
  | { type: "network"; message: string };

/** One request to a provider: the `fetch` that the vendor SDK is given, and what it saw. */
interface ProviderCall {
  fetch: typeof globalThis.fetch;
  /** Set before the SDK sees the error. */
  readonly failure: HttpFailure | null;
  /** Cuts the connection when the answer has not been read to its end; else it goes back to the pool untouched. */
  end(): void;
}

/** Keep-alive connections to the providers. One pool a harness. */
export interface ProviderHttp {
  /**
   * @param signal cuts the connection at once, at any point of the request
   * @param guarded connects only where the address guard allows
   */
  call(signal: AbortSignal, guarded?: boolean): ProviderCall;
  close(): void;
}

/**
 * `node:http` and not `fetch`: the built-in one drops a free connection after 4 s, and it costs more a request. It
 * follows no redirect, so a key never travels to another host, and asks for no compression.
 */
export function createProviderHttp(timeouts: ProviderTimeouts, dial?: Dial): ProviderHttp {
  const options = {
    keepAlive: true,
    timeout: FREE_CONNECTION_MS,
    maxFreeSockets: FREE_CONNECTIONS_MAX,
    scheduling: "lifo" as const,
  };
  const open = { "http:": new HttpAgent(options), "https:": new HttpsAgent(options) };
  // Connections of their own: one that was opened without the guard is never taken by a request that must have it.
  const guarded = createGuardedAgents(options, dial);
  return {
    call(signal, isGuarded = false) {
      const agents = isGuarded ? guarded : open;
      const state: CallState = { failure: null, response: null };
      const fetch = (async (input: string | URL | Request, init: RequestInit = {}) => {
        const url = new URL(input instanceof Request ? input.url : input);
        const send = (): Promise<Response> => exchange(url, init, signal, agents, timeouts, state);
        try {
          return await send();
        } catch (error) {
          // The provider closed a kept connection just as it was taken: nothing of the request was processed.
          if (error instanceof StaleConnection && !signal.aborted) return await send();
          throw error;
        }
      }) as typeof globalThis.fetch;
      return {
        fetch,
        get failure() {
          return state.failure;
        },
        end() {
          if (state.response?.complete === false) state.response.destroy();
        },
      };
    },
    close() {
      for (const agents of [open, guarded]) {
        agents["http:"].destroy();
        agents["https:"].destroy();
      }
    },
  };
}

class StaleConnection extends Error {}

interface CallState {
  failure: HttpFailure | null;
  response: IncomingMessage | null;
}

async function exchange(
  url: URL,
  init: RequestInit,
  signal: AbortSignal,
  agents: Agents,
  timeouts: ProviderTimeouts,
  state: CallState,
): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const secure = url.protocol === "https:";
  const headers = Object.fromEntries(new Headers(init.headers));
  const body = typeof init.body === "string" ? Buffer.from(init.body) : Buffer.alloc(0);
  const request = (secure ? httpsRequest : httpRequest)(url, {
    method: init.method ?? "GET",
    headers: { ...headers, "content-length": body.length },
    agent: secure ? agents["https:"] : agents["http:"],
    signal,
  });
  const guard = guardTimes(request, timeouts, state);
  request.on("response", resolve);
  request.on("error", (error: NodeJS.ErrnoException) => {
    guard.stop();
    const stale = request.reusedSocket && error.code === "ECONNRESET" && state.failure === null;
    if (!stale) state.failure ??= { type: "network", message: error.code ?? error.message };
    reject(stale ? new StaleConnection() : error);
  });
  request.end(body);
  const response = await promise;
  state.response = response;
  guard.answered();
  const status = response.statusCode ?? 0;
  const answerHeaders = plainHeaders(response);
  if (status >= 200 && status < 300) return new Response(bodyStream(response, guard, state), { status, headers: answerHeaders });
  const text = await errorBody(response);
  guard.stop();
  state.failure ??= { type: "status", status, retryAfterMs: retryAfterMs(answerHeaders), body: text };
  return new Response(status === 204 || status === 304 ? null : text, {
    status: status < 200 ? 502 : status,
    headers: answerHeaders,
  });
}

interface TimeGuard {
  answered(): void;
  piece(): void;
  stop(): void;
}

function guardTimes(request: ClientRequest, timeouts: ProviderTimeouts, state: CallState): TimeGuard {
  const expire = (what: "first byte" | "idle" | "total", ms: number) => (): void => {
    state.failure ??= { type: "timeout", what, ms };
    request.destroy(new Error(`provider ${what} timeout`));
  };
  const total = setTimeout(expire("total", timeouts.totalMs), timeouts.totalMs);
  let current = setTimeout(expire("first byte", timeouts.firstByteMs), timeouts.firstByteMs);
  return {
    answered() {
      clearTimeout(current);
      current = setTimeout(expire("idle", timeouts.idleMs), timeouts.idleMs);
    },
    piece() {
      current.refresh();
    },
    stop() {
      clearTimeout(current);
      clearTimeout(total);
    },
  };
}

function bodyStream(response: IncomingMessage, guard: TimeGuard, state: CallState): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const broken = (error: NodeJS.ErrnoException): void => {
          guard.stop();
          state.failure ??= { type: "network", message: error.code ?? error.message };
          controller.error(error);
        };
        response.on("data", (chunk: Buffer) => {
          guard.piece();
          controller.enqueue(chunk);
          if ((controller.desiredSize ?? 0) <= 0) response.pause();
        });
        response.on("end", () => {
          guard.stop();
          // A chunked body that was cut also ends; only `complete` tells.
          if (response.complete) controller.close();
          else broken(new Error("the connection closed in the middle of the response"));
        });
        response.on("error", broken);
      },
      pull: () => void response.resume(),
      cancel() {
        guard.stop();
        response.destroy();
      },
    },
    { highWaterMark: 16 },
  );
}

function plainHeaders(response: IncomingMessage): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(response.headers)) {
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(", ") : value);
  }
  return headers;
}

async function errorBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes >= ERROR_BODY_BYTES_MAX) break;
  }
  return Buffer.concat(chunks).toString("utf8").slice(0, ERROR_BODY_BYTES_MAX);
}

/** `retry-after-ms`, or `retry-after` in seconds or as a date. */
function retryAfterMs(headers: Headers): number | null {
  const ms = Number(headers.get("retry-after-ms") ?? Number.NaN);
  if (Number.isFinite(ms)) return Math.max(0, ms);
  const header = headers.get("retry-after");
  if (header === null) return null;
  const seconds = Number(header);
  const wait = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(wait) ? Math.max(0, wait) : null;
}
