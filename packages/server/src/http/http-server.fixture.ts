import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Anthropic } from "@anthropic-ai/sdk";
import { validateResponse } from "@sandbox0/protocol";
import { createTestDatabase } from "@sandbox0/testkit";
import { createBlobs } from "../blobs/blobs.ts";
import { createDirectoryStore } from "../blobs/directory-store.ts";
import { createBells } from "../log/bells.ts";
import { createEventLog } from "../log/event-log.ts";
import { FreshEvents } from "../log/fresh-events.ts";
import { createFollower } from "../log/follow.ts";
import { createAgents } from "../resources/agents/agents.ts";
import { type ApiKeys, createApiKeys } from "../resources/api-keys/api-keys.ts";
import { createEgressRequests } from "../resources/egress/egress-requests.ts";
import { createAttention } from "../resources/attention/attention.ts";
import { createEnvironments } from "../resources/environments/environments.ts";
import { type FilesDeps, createFiles } from "../resources/files/files.ts";
import { createHarnesses, type HarnessOffer } from "../resources/harnesses/harnesses.ts";
import { openMemory } from "../resources/memory/open-memory.ts";
import { KNOWN_MODELS } from "../resources/models/known-models.ts";
import { createModelCatalogue } from "../resources/models/model-catalogue.ts";
import { createModels } from "../resources/models/models.ts";
import { createPublishedSkills } from "../resources/skills/published-skills.ts";
import { createTimelines } from "../resources/timeline/timelines.ts";
import { createSkillApi } from "../resources/skills/skill-api.ts";
import { createLocalKeys } from "../resources/vaults/local-keys.ts";
import { type OpenVaults, openVaults } from "../resources/vaults/open-vaults.ts";
import type { Sessions } from "../sessions/api.ts";
import { createSessions, type SessionsDeps } from "../sessions/sessions.ts";
import { createSnapshots } from "../sessions/snapshots.ts";
import { createNotifier } from "../store/notify.ts";
import { type Database, createPool } from "../store/pool.ts";
import { type HttpDeps, type HttpOptions, createHttpServer } from "./http-server.ts";
import { createSessionTraces } from "../traces/session-traces.ts";

const SANDPI: HarnessOffer = {
  name: "sandpi",
  version: null,
  placement: "sandbox-as-tool",
  apis: ["anthropic-messages", "openai-responses"],
  unavailable: null,
};

export const TEST_KEY = "sk-sandbox0-test";

export interface TestServer {
  url: string;
  db: Database;
  apiKeys: ApiKeys;
  workspaceId: string;
  vaults: OpenVaults;
  /** Of the blobs, as files. */
  blobsDir: string;
  /** The official SDK with a key; every answer it gets is checked against the official types. */
  client(options?: { apiKey?: string; headers?: Record<string, string> }): Anthropic;
  /** A raw request with the test key. */
  request(method: string, path: string, options?: RawRequest): Promise<Answer>;
  streams(): number;
  /** As `HttpServer.routes`. */
  routes(): readonly string[];
  /** Errors that the server logged: bugs. */
  bugs: unknown[];
  /** Also fails when an answer was not of the official type. */
  close(): Promise<void>;
}

export interface RawRequest {
  headers?: Record<string, string>;
  body?: string | Buffer | object;
  /** Without the test key. */
  anonymous?: boolean;
}

export interface Answer {
  status: number;
  headers: Headers;
  body: {
    type?: string;
    error?: { type: string; message: string; details?: { error_code?: string } };
    request_id?: string;
  } & Record<string, unknown>;
}

interface TestServerOptions extends Partial<HttpOptions> {
  wrapSessions?: (sessions: Sessions) => Sessions;
  vaultFetch?: typeof fetch;
  harnesses?: HarnessOffer[];
  files?: Partial<FilesDeps>;
}

/** A server with everything but an orchestrator: sessions are stored, and nothing runs them. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const database = await createTestDatabase();
  const db = createPool({ connectionString: database.connectionString, max: 8 });
  const bugs: unknown[] = [];
  const notifier = createNotifier({ connectionString: database.connectionString, onError: (error) => bugs.push(error) });
  const bells = createBells(notifier);
  const fresh = new FreshEvents();
  const follower = createFollower(db, bells, (error) => bugs.push(error), fresh);
  const models = createModelCatalogue(KNOWN_MODELS);
  const apiKeys = createApiKeys({ db });
  const { workspaceId } = await apiKeys.bootstrap(TEST_KEY);
  const harnesses = createHarnesses(options.harnesses ?? [SANDPI], "sandpi");
  const dir = await mkdtemp(join(tmpdir(), "sandbox0-http-"));
  const vaults = await openTestVaults(db, dir, { fetch: options.vaultFetch, onProblem: (error) => bugs.push(error) });
  const parts = { db, log: createEventLog(db, bells, fresh), bells, follower, models, harnesses, vaults: vaults.secrets };
  const sessions = createSessions({ ...parts, tokens: vaults.tokens, apiOf });
  const memory = openMemory({ db, onProblem: (error) => bugs.push(error) });
  const onProblem = (error: unknown) => bugs.push(error);
  const blobs = createBlobs({ db, store: await createDirectoryStore(join(dir, "blobs")), onProblem });
  const server = createHttpServer(
    {
      agents: createAgents({ db, models }),
      attention: createAttention(db),
      environments: createEnvironments({ db }),
      egress: createEgressRequests(db),
      // Whose uploads can be downloaded, unless the test says otherwise.
      files: createFiles({ db, blobs, uploadsDownloadable: true, ...options.files }),
      harnesses,
      memory: memory.api,
      models: createModels(models),
      skills: createSkillApi({ db, blobs, published: createPublishedSkills(null) }),
      timeline: timelineApi(db),
      vaults: vaults.api,
      apiKeys,
      snapshots: createSnapshots({ ...parts, tokens: vaults.tokens, captureFiles: async () => undefined }),
      sessions: options.wrapSessions?.(sessions) ?? sessions,
      logger: { error: (fields) => bugs.push(fields.err) },
      checkReady: async () => null,
    },
    { llmsText: "# test", version: "0", ...options },
  );
  const url = await server.listen({ host: "127.0.0.1", port: 0 });
  const problems: string[] = [];
  return {
    url,
    db,
    apiKeys,
    workspaceId,
    vaults,
    blobsDir: join(dir, "blobs"),
    bugs,
    streams: server.streams,
    routes: server.routes,
    client: (given = {}) => createTestClient(url, problems, given),
    request: (method, path, request = {}) => send(url, method, path, request, problems),
    async close() {
      await server.close();
      await memory.close();
      await vaults.close();
      follower.close();
      await notifier.close();
      await db.close();
      await database.drop();
      await rm(dir, { recursive: true });
      if (problems.length > 0) throw new Error(`answers that are not of the official type:\n${problems.join("\n")}`);
    },
  };
}

function createTestClient(
  baseURL: string,
  problems: string[],
  { apiKey = TEST_KEY, headers }: { apiKey?: string; headers?: Record<string, string> },
): Anthropic {
  const defaultHeaders = headers ? { defaultHeaders: headers } : {};
  return new Anthropic({ apiKey, baseURL, maxRetries: 0, ...defaultHeaders, fetch: checkingFetch(problems) });
}

const byName = (model: string): string => (model.startsWith("claude") ? "anthropic-messages" : "openai-responses");
const apiOf: SessionsDeps["apiOf"] = (model, llm, harness) => (llm === null ? byName(model) : (harness.apis[0] ?? ""));

async function openTestVaults(
  db: Database,
  dir: string,
  { fetch, onProblem }: { fetch: typeof globalThis.fetch | undefined; onProblem: (error: unknown) => void },
): Promise<OpenVaults> {
  const keys = await createLocalKeys({ db, configured: undefined, file: join(dir, "master-keys.json") });
  const noWayOut = (): Promise<never> => Promise.reject(new Error("this test has no way out"));
  return openVaults({ db, keys, fetch: fetch ?? noWayOut, onProblem });
}

function checkingFetch(problems: string[]): typeof fetch {
  return async (input, init) => {
    const response = await fetch(input, init);
    if (!response.headers.get("content-type")?.startsWith("application/json")) return response;
    const { pathname } = new URL(String(input));
    const method = init?.method?.toUpperCase() ?? "GET";
    const body: unknown = await response.clone().json();
    for (const problem of validateResponse({ method, pathname, status: response.status, body }))
      problems.push(`${method} ${pathname}: ${problem}`);
    return response;
  };
}

async function send(url: string, method: string, path: string, request: RawRequest, problems: string[]): Promise<Answer> {
  const { body } = request;
  const isText = typeof body === "string" || Buffer.isBuffer(body);
  const response = await fetch(url + path, {
    method,
    headers: {
      ...(request.anonymous === true ? {} : { "x-api-key": TEST_KEY }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...request.headers,
    },
    ...(body === undefined ? {} : { body: isText ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const json = response.headers.get("content-type")?.startsWith("application/json")
    ? (JSON.parse(text) as Answer["body"])
    : { text };
  const pathname = path.split("?")[0] ?? path;
  for (const problem of validateResponse({ method, pathname, status: response.status, body: json }))
    problems.push(`${method} ${path}: ${problem}`);
  return { status: response.status, headers: response.headers, body: json };
}

function timelineApi(db: Database): HttpDeps["timeline"] {
  const timelines = createTimelines({ db, models: { costOf: () => null, providerNameOf: () => "anthropic" } });
  return { timelines, traces: createSessionTraces({ db, timelines, version: "0" }) };
}
