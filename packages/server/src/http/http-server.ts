import { STATUS_CODES, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { ApiError, createId, invalidRequest, notFound, parseQuery } from "@sandbox0/protocol";
import { type FastifyInstance, fastify } from "fastify";
import type { Agents } from "../resources/agents/agents.ts";
import type { ApiKeys } from "../resources/api-keys/api-keys.ts";
import type { AttentionApi } from "../resources/attention/attention.ts";
import type { EgressRequests } from "../resources/egress/egress-requests.ts";
import type { Environments } from "../resources/environments/environments.ts";
import type { Files } from "../resources/files/files.ts";
import type { Harnesses } from "../resources/harnesses/harnesses.ts";
import type { MemoryApi } from "../resources/memory/open-memory.ts";
import type { Models } from "../resources/models/models.ts";
import type { SkillApi } from "../resources/skills/skill-api.ts";
import type { VaultApi } from "../resources/vaults/open-vaults.ts";
import type { Sessions } from "../sessions/api.ts";
import type { Snapshots } from "../sessions/snapshots.ts";
import { createAuthHook } from "./auth.ts";
import { REQUEST_MS_MAX, addBodyDeadline } from "./body-deadline.ts";
import { addCors } from "./cors.ts";
import { addJsonParser } from "./json-body.ts";
import { Registry, addRequestMetrics } from "./metrics.ts";
import { addOverloadGuard } from "./overload.ts";
import { BODY_BYTES_MAX, type Logger, createErrorHandler, errorBody, toApiError } from "./request-errors.ts";
import { addAgentRoutes } from "./routes/agents.ts";
import { addApiKeyRoutes } from "./routes/api-keys.ts";
import { addAttentionRoutes } from "./routes/attention.ts";
import { addConsoleRoutes } from "./routes/console.ts";
import { addEgressRoutes } from "./routes/egress.ts";
import { addEnvironmentRoutes } from "./routes/environments.ts";
import { addFileRoutes } from "./routes/files.ts";
import { addHarnessRoutes } from "./routes/harnesses.ts";
import { addMemoryRoutes, addMemoryStoreRoutes, addMemoryVersionRoutes } from "./routes/memory-stores.ts";
import { addModelRoutes } from "./routes/models.ts";
import { addOpenApiRoute } from "./routes/openapi.ts";
import { addSessionEventRoutes } from "./routes/session-events.ts";
import { addSessionResourceRoutes } from "./routes/session-resources.ts";
import { addSessionRoutes } from "./routes/sessions.ts";
import { addSkillRoutes, addSkillVersionRoutes } from "./routes/skills.ts";
import { addSnapshotRoutes } from "./routes/snapshots.ts";
import { addSystemRoutes } from "./routes/system.ts";
import { addTimelineRoutes, type TimelineApi } from "./routes/timeline.ts";
import { addUnbuiltRoutes } from "./routes/unbuilt.ts";
import { addVaultKeyRoutes } from "./routes/vault-keys.ts";
import { addCredentialRoutes, addVaultRoutes } from "./routes/vaults.ts";
import { type StreamHub, createStreamHub } from "./stream-hub.ts";
import { type UnusedConnections, trackUnusedConnections } from "./unused-connections.ts";

const KEEP_ALIVE_MS = 75_000;
/** What running requests have to finish once the server stops. */
const LAST_REQUESTS_MS = 20_000;
const PATH_PARAM_CHARS_MAX = 512;

export interface HttpDeps {
  agents: Agents;
  attention: AttentionApi;
  environments: Environments;
  egress: EgressRequests;
  files: Files;
  harnesses: Harnesses;
  memory: MemoryApi;
  models: Models;
  apiKeys: ApiKeys;
  sessions: Sessions;
  skills: SkillApi;
  snapshots: Snapshots;
  timeline: TimelineApi;
  vaults: VaultApi;
  logger: Logger;
  /** `null` when the server can do its work, else a short sentence. */
  checkReady(): Promise<string | null>;
  /** Other parts register their numbers here. */
  registry?: Registry;
}

export interface HttpOptions {
  /** The text of `/llms.txt`. */
  llmsText: string;
  /** Of the product, for `/openapi.json`. */
  version: string;
  /** Where the built console lies; without it there is none. */
  consoleDir?: string;
  /** Origins whose pages may call the API. */
  corsOrigins?: readonly string[];
  streamsMax?: number;
  /** The time the body of a request may take, where its route has none of its own. */
  bodyMsMax?: number;
  pingIntervalMs?: number;
  stallMsMax?: number;
}

export interface HttpServer {
  /** @returns the address in use, such as `http://127.0.0.1:8787` */
  listen(address: { host: string; port: number }): Promise<string>;
  /** Streams that are open. */
  streams(): number;
  /** Everything it answers, as it was registered: `POST /v1/sessions/:id/events`. */
  routes(): readonly string[];
  /** Ends the streams, refuses new requests, lets running ones finish. Idempotent. */
  close(): Promise<void>;
}

/** The official API under `/v1`, ours under `/sandbox0/v1`, and what operations need (design §9). */
export function createHttpServer(deps: HttpDeps, options: HttpOptions): HttpServer {
  const app = createApp(deps.logger);
  const routes = listRoutes(app);
  const unused = trackUnusedConnections(app.server);
  const hub = createStreamHub(options);
  const registry = deps.registry ?? new Registry();
  let stopping: Promise<void> | undefined;
  const isStopping = (): boolean => stopping !== undefined;

  app.addHook("onRequest", (request, reply, done) => {
    reply.header("request-id", request.id);
    // No id, cursor or filter has one, and Postgres refuses it in any text.
    done(request.url.includes("%00") ? invalidRequest("The URL must not contain NUL characters") : undefined);
  });
  app.addHook("onSend", (_request, reply, _payload, done) => {
    // A connection that stays open would hold the server up for as long as clients keep theirs.
    if (isStopping()) reply.header("connection", "close");
    done();
  });
  addCors(app, options.corsOrigins ?? []);
  // Before the guards: health and metrics must answer most of all when there is too much to do.
  addSystemRoutes(app, { registry, checkReady: deps.checkReady, isStopping, llmsText: options.llmsText });
  addOpenApiRoute(app, options.version);
  if (options.consoleDir !== undefined) addConsoleRoutes(app, options.consoleDir);
  app.register(async (api) => {
    const guard = addOverloadGuard(api, isStopping);
    addBodyDeadline(api, options.bodyMsMax);
    addRequestMetrics(api, registry, { streams: hub.size, inFlight: guard.inFlight });
    api.addHook("onRequest", createAuthHook(deps.apiKeys));
    addAgentRoutes(api, deps.agents);
    addAttentionRoutes(api, deps.attention);
    addEnvironmentRoutes(api, deps.environments);
    addEgressRoutes(api, deps.egress);
    addFileRoutes(api, deps.files);
    addHarnessRoutes(api, deps.harnesses);
    addMemoryStoreRoutes(api, deps.memory);
    addMemoryRoutes(api, deps.memory);
    addMemoryVersionRoutes(api, deps.memory);
    addModelRoutes(api, deps.models);
    addSessionRoutes(api, deps.sessions);
    addSessionResourceRoutes(api, deps.sessions.resources);
    addSessionEventRoutes(api, deps.sessions, hub);
    addSkillRoutes(api, deps.skills.skills);
    addSkillVersionRoutes(api, deps.skills.versions);
    addSnapshotRoutes(api, deps.snapshots);
    addTimelineRoutes(api, deps.timeline);
    addVaultRoutes(api, deps.vaults);
    addCredentialRoutes(api, deps.vaults);
    addVaultKeyRoutes(api, deps.vaults);
    addApiKeyRoutes(api, deps.apiKeys);
    addUnbuiltRoutes(api);
  });
  return {
    listen: (address) => app.listen(address),
    streams: hub.size,
    routes: () => routes,
    close() {
      stopping ??= stop(app, hub, unused);
      return stopping;
    },
  };
}

/** Filled as routes are added. */
function listRoutes(app: FastifyInstance): readonly string[] {
  const routes: string[] = [];
  app.addHook("onRoute", ({ method, url }) => {
    for (const each of [method].flat()) routes.push(`${each} ${url}`);
  });
  return routes;
}

async function stop(app: FastifyInstance, hub: StreamHub, unused: UnusedConnections): Promise<void> {
  hub.close();
  unused.destroy();
  const deadline = setTimeout(() => app.server.closeAllConnections(), LAST_REQUESTS_MS);
  await app.close();
  clearTimeout(deadline);
}

function createApp(logger: Logger): FastifyInstance {
  const onError = createErrorHandler(logger);
  const app = fastify({
    logger: false,
    bodyLimit: BODY_BYTES_MAX,
    genReqId: () => createId("request"),
    requestIdHeader: false,
    requestTimeout: REQUEST_MS_MAX,
    keepAliveTimeout: KEEP_ALIVE_MS,
    return503OnClosing: false,
    forceCloseConnections: "idle",
    // Node would answer such requests itself, with no body.
    http: { requireHostHeader: false },
    exposeHeadRoutes: false,
    frameworkErrors: (error, request, reply) => {
      reply.header("request-id", request.id);
      void onError(error, request, reply);
    },
    clientErrorHandler: (error, socket) => answerBrokenRequest(error, socket),
    routerOptions: { maxParamLength: PATH_PARAM_CHARS_MAX, querystringParser: parseQuery },
  });
  app.decorateRequest("principal", undefined);
  addJsonParser(app);
  app.setErrorHandler(onError);
  app.setNotFoundHandler(async (request) => {
    throw notFound(`No such operation: ${request.method} ${request.url.split("?")[0] ?? ""}`);
  });
  return app;
}

/** What Node could not even parse as a request, or what took too long to come. */
function answerBrokenRequest(error: Error & { code?: string }, socket: Duplex & { _httpMessage?: ServerResponse | null }): void {
  // An answer is already on its way: one more would corrupt it.
  if (error.code === "ECONNRESET" || !socket.writable || socket._httpMessage?.headersSent) {
    socket.destroy();
    return;
  }
  const answer =
    error.code === "ERR_HTTP_REQUEST_TIMEOUT"
      ? new ApiError("timeout_error", "The request took too long to arrive.", { status: 408 })
      : error.code === "HPE_HEADER_OVERFLOW"
        ? new ApiError("invalid_request_error", "The request headers are too large.", { status: 431 })
        : (toApiError(error) ?? new ApiError("invalid_request_error", "The request is not valid HTTP."));
  const requestId = createId("request");
  const body = JSON.stringify(errorBody(answer, requestId));
  const head = [
    `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? ""}`,
    "content-type: application/json",
    `request-id: ${requestId}`,
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}
