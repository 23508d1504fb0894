import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createSandpi, type Harness, type ProviderConfig, type Sandpi } from "@sandbox0/harness";
import { BUILT_IN_TOOLS, type SandboxPool } from "@sandbox0/sandbox";
import type { Logger } from "pino";
import type { RetryPolicy } from "../domain/turn.ts";
import { createHttpServer } from "../http/http-server.ts";
import { Registry } from "../http/metrics.ts";
import { type Bells, createBells } from "../log/bells.ts";
import { createEventLog, type EventLog } from "../log/event-log.ts";
import { FreshEvents } from "../log/fresh-events.ts";
import { createFollower } from "../log/follow.ts";
import { createJudge, type Judge } from "../orchestrator/judge.ts";
import { createMcpConnector, type McpConnector } from "../mcp/connector.ts";
import { withMessageFiles } from "../orchestrator/message-files.ts";
import { createOrchestrator, type Orchestrator } from "../orchestrator/orchestrator.ts";
import { fitInSandbox, openHarnessSandbox, runSandboxTool } from "../orchestrator/run-tool.ts";
import { isWebTool, runWebTool } from "../orchestrator/run-web-tool.ts";
import { createSandboxOfTurn } from "../orchestrator/sandbox-of-turn.ts";
import type { HeldTurn } from "../orchestrator/turn.ts";
import type { SessionPolicies } from "../policy/session-policies.ts";
import { findUnreachableCredentials } from "../policy/unreachable-credentials.ts";
import { DEAD_MOUNTS_SWEEP_MS, removeDeadMounts } from "../provision/memory/dead-mounts.ts";
import type { LayerBuilds } from "../provision/packages/layer-builds.ts";
import { createPackagesPart } from "../provision/packages/packages-part.ts";
import type { ProvisionPart } from "../provision/port.ts";
import { createAgents } from "../resources/agents/agents.ts";
import { type ApiKeys, createApiKeys } from "../resources/api-keys/api-keys.ts";
import { createAttention } from "../resources/attention/attention.ts";
import { createEgressRequests } from "../resources/egress/egress-requests.ts";
import { createEnvironments } from "../resources/environments/environments.ts";
import { createHarnesses, type Harnesses } from "../resources/harnesses/harnesses.ts";
import { openMemory } from "../resources/memory/open-memory.ts";
import { createFiles } from "../resources/files/files.ts";
import { createModels } from "../resources/models/models.ts";
import { createPublishedSkills } from "../resources/skills/published-skills.ts";
import { createSkillApi } from "../resources/skills/skill-api.ts";
import { repeat } from "../resources/repeat.ts";
import type { OpenVaults } from "../resources/vaults/open-vaults.ts";
import { createSessions, type SessionsDeps } from "../sessions/sessions.ts";
import { createSnapshots } from "../sessions/snapshots.ts";
import { migrate } from "../store/migrate.ts";
import { type NodeRegistry, registerNode } from "../store/node-registry.ts";
import { createNotifier, type Notifier } from "../store/notify.ts";
import { createPool, type Database } from "../store/pool.ts";
import { type Config, ConfigError } from "./config.ts";
import { countDroppedRows, createGateways, createOutbound, type Gateways, type Outbound } from "./gateways.ts";
import { createCaptureFiles } from "./capture-files.ts";
import { catalogueOf } from "./model-catalogue-of.ts";
import { ModelUnavailable } from "./models.ts";
import { findInstalledHarnesses, type InstalledHarnesses } from "./harnesses.ts";
import { createProviderOf, type ProviderOf } from "./provider-of.ts";
import { openPackages } from "./packages.ts";
import { createServerProvision } from "./provision.ts";
import { createDriver, createSandboxes } from "./sandboxes.ts";
import { openServerVolumes } from "./volumes.ts";
import type { VolumeKeeper } from "../provision/volumes/volume-keeper.ts";
import { createVolumeRequests, type VolumeRequests } from "../provision/volumes/volume-requests.ts";
import { openRepositories } from "./repositories.ts";
import { openStorage, type Storage } from "./storage.ts";
import type { ServerDatabase } from "./server-database.ts";
import { addPoolMetrics, addSessionMetrics, createClaimMeter, createEgressMeter, createTurnMeter } from "./metrics.ts";
import { openTraces, type Traces } from "./traces.ts";
import { openServerVaults } from "./vaults.ts";
import { createConfiguredWebTools } from "./web.ts";
import { WEB_TOOL_DEFINITIONS, type WebTools } from "../web/web-tools.ts";

/** Connections of one server for its statements; two more listen and hold the node's lock. */
const DATABASE_CONNECTIONS_MAX = 32;
const RETRY_BASE_MS = 1_000;
/** Of the product, as MCP servers are told. */
const VERSION = "0.1.0";
const LLMS_TEXT = new URL("../../../../docs/llms.txt", import.meta.url);
const CONSOLE_DIR = new URL("../../../../apps/console/dist/", import.meta.url);

export interface ServeOptions {
  /** Before the second attempt of a failed turn. Default one second. */
  retry?: RetryPolicy;
  /** Where the server's own log goes; default standard error. */
  logger?: Logger;
}

export interface RunningServer {
  /** `http://HOST:PORT`, without a trailing slash. */
  url: string;
  /** The first start's API key, which is stored as a hash only; `null` when there is a key already. */
  createdApiKey: string | null;
  /** Drains: stops taking requests and turns, lets what runs reach a safe point, closes the database. */
  close(): Promise<void>;
}

/** Undone last first, also when the start fails half-way. */
class Closers {
  private readonly fns: (() => Promise<unknown> | unknown)[] = [];
  add(fn: () => Promise<unknown> | unknown): void {
    this.fns.push(fn);
  }
  async run(): Promise<void> {
    const errors: unknown[] = [];
    for (let fn = this.fns.pop(); fn; fn = this.fns.pop()) {
      try {
        await fn();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, "the server did not close cleanly");
  }
}

/** The composition root: everything is made here, by its factory, and closed in the reverse order. */
export async function serveOn(
  database: Promise<ServerDatabase>,
  config: Config,
  options: ServeOptions & { logger: Logger },
): Promise<RunningServer> {
  const closers = new Closers();
  try {
    const { connectionString, close } = await database;
    closers.add(close);
    return await start(connectionString, config, options, closers);
  } catch (error) {
    await closers.run();
    throw error;
  }
}

async function start(
  connectionString: string,
  config: Config,
  options: ServeOptions & { logger: Logger },
  closers: Closers,
): Promise<RunningServer> {
  const { logger } = options;
  const onError = (error: unknown) => logger.warn({ err: error }, "trouble with the database connection");
  const db = createPool({ connectionString, max: DATABASE_CONNECTIONS_MAX, onConnectionError: onError });
  closers.add(() => db.close());
  await migrate(db);
  const notifier = createNotifier({ connectionString, onError });
  closers.add(() => notifier.close());
  const bells = createBells(notifier);
  const fresh = new FreshEvents();
  const log = createEventLog(db, bells, fresh);
  const apiKeys = createApiKeys({ db });
  const { createdKey } = await apiKeys.bootstrap(config.apiKey);
  let url = "";
  const outbound = await createOutbound(config, connectionString, () => ownPorts(config, url));
  closers.add(() => outbound.close());
  const sandpi = createResidentHarness(outbound, closers);
  const installed = findInstalledHarnesses(config);
  const harnesses = createHarnesses(installed.offers, config.harness);
  refuseDefaultHarness(installed, config);
  const vaults = await openServerVaults({ config, db, fetch: outbound.fetch, logger });
  closers.add(() => vaults.close());
  const storage = await openStorage({
    config,
    db,
    onProblem: (error) => logger.warn({ err: error }, "trouble with the storage"),
  });
  closers.add(() => storage.close());
  const traces = await openTraces({
    config,
    db,
    version: VERSION,
    onError: (error) => logger.warn({ err: error }, "trouble with the traces"),
  });
  closers.add(() => traces.close());
  const registry = new Registry();
  addSessionMetrics(registry, db);
  const made = {
    config,
    options,
    registry,
    storage,
    traces,
    logger,
    db,
    log,
    fresh,
    bells,
    sandpi,
    installed,
    harnesses,
    vaults,
    outbound,
    notifier,
    volumeRequests: createVolumeRequests({ db, notifier }),
  };
  const parts: ServerParts = { ...made, connectionString, onError };
  if (config.roles.has("worker")) await startWorker(parts, closers);
  if (config.roles.has("api")) url = await startApi(parts, apiKeys, closers);
  // Behind the start, which is waited for.
  if (config.roles.has("worker")) void sandpi.warmUp();
  return { url, createdApiKey: createdKey, close: () => closers.run() };
}

/** @returns where it listens */
async function startApi(parts: ServerParts, apiKeys: ApiKeys, closers: Closers): Promise<string> {
  const { config, db, log, bells, vaults, logger, registry } = parts;
  const models = catalogueOf(config.models);
  const follower = createFollower(db.reads, bells, parts.onError, parts.fresh);
  const { harnesses } = parts;
  const memory = openMemory({ db, onProblem: parts.onError });
  closers.add(() => memory.close());
  const http = createHttpServer(
    {
      apiKeys,
      agents: createAgents({ db, models }),
      attention: createAttention(db.reads),
      environments: createEnvironments({ db }),
      egress: createEgressRequests(db.reads),
      files: createFiles({ db, blobs: parts.storage.blobs, uploadsDownloadable: config.uploadsDownloadable }),
      memory: memory.api,
      skills: createSkillApi({ db, blobs: parts.storage.blobs, published: createPublishedSkills(config.skillsDir) }),
      models: createModels(models),
      harnesses,
      sessions: createSessions({
        db,
        log,
        bells,
        follower,
        models,
        vaults: vaults.secrets,
        tokens: vaults.tokens,
        harnesses,
        apiOf: apiOf(parts),
      }),
      snapshots: createSnapshots({ db, log, tokens: vaults.tokens, captureFiles: createCaptureFiles(parts.volumeRequests) }),
      timeline: parts.traces,
      vaults: vaults.api,
      logger,
      registry,
      checkReady: () => checkDatabase(db),
    },
    { llmsText: await readFile(LLMS_TEXT, "utf8"), version: VERSION, consoleDir: fileURLToPath(CONSOLE_DIR) },
  );
  closers.add(() => http.close());
  closers.add(() => follower.close());
  return http.listen({ host: config.host, port: config.port });
}

/** Said at the start, not at the first session. @throws ConfigError */
function refuseDefaultHarness({ offers }: InstalledHarnesses, { harness }: Config): void {
  const problem = offers.find(({ name }) => name === harness)?.unavailable;
  if (problem) throw new ConfigError([`SANDBOX0_HARNESS: the harness "${harness}" is not available on this server: ${problem}`]);
}

function apiOf({ config, installed }: ServerParts): SessionsDeps["apiOf"] {
  return (model, llm, { name }) =>
    config.models.apiOf(model, {
      isOwn: llm !== null && (llm.baseUrl !== null || llm.credentialId !== null),
      apis: installed.apisOf(name),
    });
}

/** Where this server listens, or will. */
function ownPorts({ host, port }: Config, url: string): { address: string; port: number }[] {
  return [port, url === "" ? 0 : Number(new URL(url).port)]
    .filter((each) => each > 0)
    .map((each) => ({ address: host, port: each }));
}

async function checkDatabase(db: Database): Promise<string | null> {
  try {
    await db.query("select 1", [], "ready");
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function createResidentHarness({ guard }: Outbound, closers: Closers): Sandpi {
  const sandpi = createSandpi({ dial: (host, port) => guard.dial(host, port) });
  closers.add(() => sandpi.close());
  return sandpi;
}

interface ServerParts {
  config: Config;
  storage: Storage;
  traces: Traces;
  options: ServeOptions;
  logger: Logger;
  registry: Registry;
  db: Database;
  log: EventLog;
  fresh: FreshEvents;
  bells: Bells;
  notifier: Notifier;
  volumeRequests: VolumeRequests;
  sandpi: Sandpi;
  installed: InstalledHarnesses;
  harnesses: Harnesses;
  vaults: OpenVaults;
  outbound: Outbound;
  connectionString: string;
  onError: (error: unknown) => void;
}

async function startWorker(parts: ServerParts, closers: Closers): Promise<void> {
  const { config, logger, db } = parts;
  // The gateway is there before the first sandbox, and asks the pool whose it is.
  let sandboxes: SandboxPool | null = null;
  const sessionOf = (sandboxId: string): string | null => sandboxes?.sessionOf(sandboxId) ?? null;
  let builds: LayerBuilds | null = null;
  const environmentOf = (sandboxId: string): string | null => builds?.environmentOf(sandboxId) ?? null;
  const providerOf = createProviderOf(config.models, parts.vaults.secrets, parts.installed.apisOf);
  const vaults = parts.vaults.secrets;
  const gateways = await createGateways({
    config,
    db,
    vaults: parts.vaults,
    outbound: parts.outbound,
    sessionOf,
    environmentOf,
    providerOf,
    logger,
    onEgress: createEgressMeter(parts.registry),
  });
  closers.add(() => gateways.close());
  countDroppedRows(parts.registry, gateways.audit);
  let volumes: VolumeKeeper | null = null;
  const onPause = (sessionId: string) => volumes?.onPause(sessionId);
  const shown = { config, logger, programs: parts.installed.programs };
  const driver = createDriver(shown, gateways);
  const [node, pool] = await Promise.all([joinNodes(parts), createSandboxes(driver, shown, gateways, onPause)]);
  sandboxes = pool;
  addPoolMetrics(parts.registry, pool);
  closers.add(() => node.close());
  closers.add(() => pool.close());
  volumes = await openServerVolumes({ ...parts, blobs: parts.storage.blobs, requests: parts.volumeRequests, node, pool });
  closers.add(() => volumes?.close());
  const packages = await openPackages({ ...parts, blobs: parts.storage.blobs, node, driver, gateways });
  builds = packages;
  closers.add(() => packages.close());
  const deadMounts = repeat(() => removeDeadMounts(db, memoryDirOf(config)), DEAD_MOUNTS_SWEEP_MS, parts.onError);
  closers.add(() => deadMounts.stop());
  const onTrouble = (error: unknown) => logger.warn({ err: error }, "trouble with an MCP connection");
  const mcp = createMcpConnector({ credentials: vaults, fetch: parts.outbound.fetch, version: VERSION, onTrouble });
  closers.add(() => mcp.stop());
  const web = createConfiguredWebTools(config, { db, fetch: parts.outbound.fetch });
  closers.add(() => web.close());
  const repositories = openRepositories({ ...parts, policies: gateways.policies, pool });
  closers.add(() => repositories.close());
  const harnesses = startHarnesses(parts, closers);
  const stations: Stations = {
    node,
    pool,
    volumes: volumes.part,
    packages: createPackagesPart(packages),
    mcp,
    web,
    gateways,
    repositories: repositories.part,
    harnesses,
    providerOf,
  };
  const orchestrator = createTurnRunner(parts, stations);
  orchestrator.start();
  closers.add(() => orchestrator.stop());
}

/** Closed after the last turn and before their sandboxes. */
function startHarnesses({ sandpi, installed }: ServerParts, closers: Closers): Map<string, Harness> {
  const started = installed.create();
  for (const harness of started) closers.add(() => harness.close());
  return new Map([sandpi, ...started].map((harness) => [harness.name, harness]));
}

function joinNodes({ connectionString, config, onError, logger }: ServerParts): Promise<NodeRegistry> {
  return registerNode({
    connectionString,
    name: `${hostname()}:${process.pid}`,
    roles: [...config.roles],
    onError,
    onLost: () => logger.warn("this node lost its lock; others may take its sessions until it has it again"),
  });
}

interface Stations {
  node: NodeRegistry;
  pool: SandboxPool;
  mcp: McpConnector;
  web: WebTools;
  gateways: Gateways;
  volumes: ProvisionPart;
  packages: ProvisionPart;
  repositories: ProvisionPart;
  harnesses: Map<string, Harness>;
  providerOf: ProviderOf;
}

function createTurnRunner(parts: ServerParts, stations: Stations): Orchestrator {
  const { config, options, logger, db, log, bells } = parts;
  const { node, pool, mcp, web, gateways, harnesses } = stations;
  const { policies, tokens } = gateways;
  const published = createPublishedSkills(config.skillsDir);
  const provision = createServerProvision({
    db,
    blobs: parts.storage.blobs,
    published,
    volumes: stations.volumes,
    packages: stations.packages,
    repositories: stations.repositories,
    memoryDir: memoryDirOf(config),
  });
  const meterClaim = createClaimMeter(parts.registry);
  const record: Traces["record"] = (activity) => {
    meterClaim(activity);
    parts.traces.record(activity);
  };
  const sandboxes = createSandboxOfTurn({ log, pool, provision, record });
  const tools = { sandboxes, issueToken: tokens.issue, environmentOf: (turn: HeldTurn) => environmentOf(policies, turn) };
  const fitText = (turn: HeldTurn, callId: string, text: string) => fitInSandbox(sandboxes, turn, callId, text);
  return createOrchestrator({
    db,
    log,
    bells,
    node,
    harnesses,
    sandboxes,
    record,
    meter: createTurnMeter(parts.registry),
    costOf: config.models.costOf,
    retry: options.retry ?? { baseMs: RETRY_BASE_MS },
    builtinTools: new Map([...BUILT_IN_TOOLS, ...WEB_TOOL_DEFINITIONS].map((tool) => [tool.name, tool])),
    resolveModel: stations.providerOf,
    judge: createConfiguredJudge(parts),
    runTool: (turn, call) =>
      isWebTool(call.name) ? runWebTool({ web, fitText }, turn, call) : runSandboxTool(tools, turn, call),
    openSandbox: (turn) => openHarnessSandbox(tools, turn),
    measured: gateways.measured,
    findPolicyErrors: (sessionId) => findUnreachableCredentials(db, policies, sessionId),
    withFiles: (workspaceId, transcript) => withMessageFiles({ db, blobs: parts.storage.blobs }, workspaceId, transcript),
    mcp,
    fitText,
    onRest: (sessionId) => {
      pool.release(sessionId);
      parts.traces.turnEnded(sessionId);
    },
    onLeave: (sessionId) => pool.discard(sessionId),
    onTrouble: (error, sessionId) => logger.warn({ err: error, session: sessionId }, "a turn was left to be recovered"),
    onBug: (error, sessionId) => logger.error({ err: error, session: sessionId }, "a turn failed for a bug"),
  });
}

/** What commands of the session find in their environment: the placeholders of its credentials. */
async function environmentOf(policies: SessionPolicies, turn: HeldTurn): Promise<Readonly<Record<string, string>>> {
  return turn.session.vault_ids.length === 0 ? {} : ((await policies.of(turn.sessionId))?.environment ?? {});
}

function resolveModel(config: Config, modelId: string): ProviderConfig | { unavailable: string } {
  try {
    return config.models.resolve(modelId);
  } catch (error) {
    if (error instanceof ModelUnavailable) return { unavailable: error.message };
    throw error;
  }
}

function createConfiguredJudge({ config, db, logger, sandpi }: ServerParts): Judge | null {
  if (config.judgeModel === undefined) return null;
  return createJudge({
    db,
    model: config.judgeModel,
    resolveModel: (modelId) => resolveModel(config, modelId),
    completeText: (question) => sandpi.completeText(question),
    onTrouble: (error, sessionId) => logger.warn({ err: error, session: sessionId }, "the judge came to no judgement"),
  });
}

/** What sandboxes see is below their driver's directory. */
const memoryDirOf = (config: Config): string => join(config.dataDir, "sandbox", "memory");
