import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { parseRequest, type ScriptedApi, type ScriptedRequest } from "./request.ts";
import { play } from "./play.ts";
import { messagesError } from "./messages-wire.ts";
import { openaiError } from "./openai-error.ts";
import type { Script } from "./script.ts";
import { fail, partsOf, type ProviderFailure, type Step } from "./step.ts";
import { invalidReason } from "./validate.ts";

const REQUEST_BYTES_MAX = 64 * 1024 * 1024;
/** Recorded requests kept; the oldest fall out, so that a benchmark does not fill the memory. */
const REQUESTS_KEPT_MAX = 2_000;
const KEEP_ALIVE_MS = 65_000;
const WAIT_FOR_REQUEST_MS = 60_000;

export interface ScriptedProviderOptions {
  /** 0, the default, picks a free one. Always on 127.0.0.1. */
  port?: number;
  /** Asked when nothing of `onRequest` and `enqueue` answers. */
  script?: Script;
  /** When set, any other key is answered with 401. */
  apiKey?: string;
}

export interface ScriptedProvider {
  /** Without a trailing slash and without `/v1`. */
  readonly url: string;
  /** What came in, oldest first. */
  readonly requests: readonly ScriptedRequest[];
  /** The number of requests that ever came in. */
  readonly received: number;
  /** Steps for the next requests that no `onRequest` answers, in order of arrival. */
  enqueue(...steps: readonly Step[]): void;
  /** Adds a script before all others; returns its removal. */
  onRequest(script: Script): () => void;
  /** Resolves with the first request, past or future, that matches. Rejects after `timeoutMs` (default 60 s). */
  waitForRequest(matches: (request: ScriptedRequest) => boolean, timeoutMs?: number): Promise<ScriptedRequest>;
  /** Ends every connection, also those that a script holds. */
  close(): Promise<void>;
}

/** A model provider that plays scripts over Anthropic Messages, OpenAI Responses and Chat Completions. */
export async function createScriptedProvider(options: ScriptedProviderOptions = {}): Promise<ScriptedProvider> {
  const requests: ScriptedRequest[] = [];
  const queue: Step[] = [];
  const scripts: Script[] = [];
  const watchers = new Set<(request: ScriptedRequest) => void>();
  let received = 0;

  const record = (request: ScriptedRequest): void => {
    received += 1;
    requests.push(request);
    if (requests.length > REQUESTS_KEPT_MAX) requests.shift();
    for (const watcher of watchers) watcher(request);
  };
  const choose = async (request: ScriptedRequest): Promise<Step> => {
    for (const script of scripts) {
      const step = await script(request);
      if (step !== undefined) return step;
    }
    const step = queue.shift() ?? (await options.script?.(request));
    return (
      step ?? fail(400, { message: `the scripted provider has no step for this request (${request.messages.length} messages)` })
    );
  };
  const server = createServer((incoming, response) => {
    answer(incoming, response, options.apiKey, record, choose).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else sendFailure(response, apiOf(incoming.url ?? "") ?? "messages", { status: 400, message: String(error) });
    });
  });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.listen(options.port ?? 0, "127.0.0.1");
  await once(server, "listening");

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    get received() {
      return received;
    },
    enqueue: (...steps) => void queue.push(...steps),
    onRequest(script) {
      scripts.unshift(script);
      return () => void scripts.splice(scripts.indexOf(script), 1);
    },
    waitForRequest: (matches, timeoutMs) => waitForRequest(requests, watchers, matches, timeoutMs),
    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answer(
  incoming: IncomingMessage,
  response: ServerResponse,
  apiKey: string | undefined,
  record: (request: ScriptedRequest) => void,
  choose: (request: ScriptedRequest) => Promise<Step>,
): Promise<void> {
  const api = apiOf(incoming.url ?? "");
  if (api === undefined || incoming.method !== "POST") {
    return sendFailure(response, "messages", { status: 404, message: `no such operation: ${incoming.method} ${incoming.url}` });
  }
  const ended = Promise.withResolvers<void>();
  const request = parseRequest(api, incoming.headers, await readBody(incoming), ended.promise);
  record(request);
  response.on("close", () => {
    if (request.state === "open") request.state = "abandoned";
    ended.resolve();
  });
  if (apiKey !== undefined && keyOf(incoming) !== apiKey) {
    request.state = "answered";
    return sendFailure(response, api, { status: 401, message: "invalid api key" });
  }
  const invalid = invalidReason(request);
  const step = invalid === null ? await choose(request) : fail(400, { message: invalid });
  await play(partsOf(step), request, response, (failure) => sendFailure(response, api, failure));
}

/** Any base path is fine: only the end of the path says which API it is. */
function apiOf(url: string): ScriptedApi | undefined {
  const path = url.split("?", 1)[0] ?? "";
  if (path.endsWith("/v1/messages")) return "messages";
  if (path.endsWith("/responses")) return "responses";
  return path.endsWith("/chat/completions") ? "completions" : undefined;
}

function keyOf(incoming: IncomingMessage): string | undefined {
  const header = incoming.headers["x-api-key"] ?? incoming.headers.authorization?.replace(/^bearer /i, "");
  return typeof header === "string" ? header : undefined;
}

async function readBody(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > REQUEST_BYTES_MAX) throw new RangeError(`request body over ${REQUEST_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function sendFailure(response: ServerResponse, api: ScriptedApi, failure: ProviderFailure): void {
  const body = JSON.stringify(api === "messages" ? messagesError(failure) : openaiError(failure));
  response.writeHead(failure.status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    ...(failure.retryAfterSeconds === undefined ? {} : { "retry-after": String(failure.retryAfterSeconds) }),
  });
  response.end(body);
}

async function waitForRequest(
  past: readonly ScriptedRequest[],
  watchers: Set<(request: ScriptedRequest) => void>,
  matches: (request: ScriptedRequest) => boolean,
  timeoutMs = WAIT_FOR_REQUEST_MS,
): Promise<ScriptedRequest> {
  const seen = past.find(matches);
  if (seen !== undefined) return seen;
  const { promise, resolve, reject } = Promise.withResolvers<ScriptedRequest>();
  const watcher = (request: ScriptedRequest): void => {
    if (matches(request)) resolve(request);
  };
  const timer = setTimeout(() => reject(new Error(`no such model request within ${timeoutMs} ms`)), timeoutMs);
  watchers.add(watcher);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    watchers.delete(watcher);
  }
}
