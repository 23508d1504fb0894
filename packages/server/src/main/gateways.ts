import { randomBytes } from "node:crypto";
import { lookup } from "node:dns/promises";
import { join } from "node:path";
import {
  createAddressGuard,
  createCertificateAuthority,
  createEgressGateway,
  createGuardedFetch,
  createModelGateway,
  createSessionTokens,
  type AddressGuard,
  type AuditRow,
  type ForbiddenEndpoint,
  type GuardedFetch,
  type SessionTokens,
} from "@sandbox0/egress";
import type { OpenEgress } from "@sandbox0/sandbox";
import type { Logger } from "pino";
import { Counter, type Registry } from "prom-client";
import { createAuditSink, type DurableAuditSink } from "../policy/audit-sink.ts";
import { createMeasuredRequests, type MeasuredRequests } from "../policy/measured-requests.ts";
import { createModelSource, type ModelSourceDeps } from "../policy/model-source.ts";
import { createPackageHosts, PATIENT_WAITS } from "../policy/package-hosts.ts";
import { createEnvironmentPolicies } from "../policy/environment-policies.ts";
import { createPolicySource } from "../policy/policy-source.ts";
import { createSessionPolicies, type SessionPolicies } from "../policy/session-policies.ts";
import type { OpenVaults } from "../resources/vaults/open-vaults.ts";
import { anyAllowsPackageManagers } from "../store/environments.ts";
import type { Database } from "../store/pool.ts";
import type { Config } from "./config.ts";
import { EGRESS_DIR } from "./egress-check.ts";

const POSTGRES_PORT = 5432;
const TOKEN_SECRET_BYTES = 32;

/** What the server itself goes out with: to MCP servers, token endpoints and pages. */
export interface Outbound {
  guard: AddressGuard;
  fetch: GuardedFetch["fetch"];
  close(): Promise<void>;
}

/**
 * @param ownPorts where this server listens, as far as it does by now
 */
export async function createOutbound(
  config: Config,
  connectionString: string,
  ownPorts: () => readonly ForbiddenEndpoint[],
): Promise<Outbound> {
  const database = await databaseEndpoints(connectionString);
  const forbidden = (): ForbiddenEndpoint[] => [...database, ...ownPorts()];
  const guard = createAddressGuard({ allowPrivate: config.egressAllowPrivate, forbidden });
  const { fetch, close } = createGuardedFetch(guard);
  return { guard, fetch, close };
}

/** Where the database listens on a network, if it does, under its name and every address that the name has now. */
async function databaseEndpoints(connectionString: string): Promise<ForbiddenEndpoint[]> {
  const url = new URL(connectionString);
  const host = url.searchParams.get("host") ?? decodeURIComponent(url.hostname);
  if (host === "" || host.startsWith("/")) return [];
  const port = Number(url.searchParams.get("port") ?? (url.port || POSTGRES_PORT));
  const found = await lookup(host.replace(/^\[(.*)\]$/, "$1"), { all: true }).catch(() => []);
  return [host, ...found.map(({ address }) => address)].map((address) => ({ address, port }));
}

export interface GatewayParts {
  config: Config;
  db: Database;
  vaults: Pick<OpenVaults, "secrets" | "tokens">;
  outbound: Outbound;
  /** Which session has a sandbox of this node now. */
  sessionOf(sandboxId: string): string | null;
  /** Which environment a sandbox of this node prepares now. */
  environmentOf(sandboxId: string): string | null;
  providerOf: ModelSourceDeps["providerOf"];
  /** Told of each row of the audit. */
  onEgress?: (row: AuditRow) => void;
  logger: Logger;
}

/** The ways out of the sandboxes of this node. */
export interface Gateways {
  policies: SessionPolicies;
  audit: DurableAuditSink;
  /** `null`: the gateway could not be started, and no sandbox has a way out. */
  egress: { open: OpenEgress; caPem: string } | null;
  /** For harnesses in sandboxes, who show them to the model gateway. */
  tokens: SessionTokens;
  measured: MeasuredRequests;
  /** Resolves when the hosts of all package managers are known, or after a while; never rejects. */
  awaitRegistries(): Promise<void>;
  close(): Promise<void>;
}

export async function createGateways(parts: GatewayParts): Promise<Gateways> {
  const { config, db, vaults, outbound, logger, sessionOf } = parts;
  const onError = (error: unknown): void => logger.warn({ err: error }, "trouble with the egress gateway");
  const { fetch, guard } = outbound;
  const { packageHosts: operatorHosts, packageEnvironment: env } = config;
  const packageHosts = createPackageHosts({ operatorHosts, env, fetch, onProblem: onError });
  // So that the first session of this start has not to wait for it.
  if (await anyAllowsPackageManagers(db)) void packageHosts();
  const policies = createSessionPolicies({
    db,
    vaults: vaults.secrets,
    tokens: vaults.tokens,
    packageHosts,
    blockedHosts: config.egressBlockedHosts,
  });
  const sink = createAuditSink({ db, sessionOf, onError });
  const audit: DurableAuditSink = {
    ...sink,
    record(row) {
      parts.onEgress?.(row);
      sink.record(row);
    },
  };
  const tokens = createSessionTokens(randomBytes(TOKEN_SECRET_BYTES));
  const blockedHosts = config.egressBlockedHosts;
  const source = createPolicySource(policies, sessionOf, {
    policies: createEnvironmentPolicies({ db, packageHosts, blockedHosts }),
    environmentOf: parts.environmentOf,
  });
  const measured = createMeasuredRequests();
  const models = createModelSource({ db, sessionOf, tokens, providerOf: parts.providerOf, measured, onError });
  const onBug = (error: unknown, sandboxId: string): void =>
    logger.error({ err: error, sandbox: sandboxId }, "a connection of a sandbox was cut for a fault of the gateway");
  const modelGateway = createModelGateway({ models, policies: source, guard, onProblem: onBug });
  const closeRest = async (): Promise<void> => {
    await modelGateway.close();
    await Promise.all([models.close(), audit.close()]);
  };
  const awaitRegistries = async (): Promise<void> => void (await packageHosts(PATIENT_WAITS));
  const base = { policies, audit, tokens, measured, awaitRegistries };
  try {
    const ca = await createCertificateAuthority({ dir: join(config.dataDir, EGRESS_DIR) });
    const model = modelGateway.handle;
    const gateway = createEgressGateway({ policies: source, audit, guard, ca, model, ports: config.egressPorts, onBug });
    const close = (): Promise<void> => gateway.close().then(closeRest);
    return { ...base, egress: { open: gateway.listen, caPem: ca.certificatePem }, close };
  } catch (error) {
    logger.error({ err: error }, "the egress gateway did not start: sandboxes have NO way out until this is repaired");
    return { ...base, egress: null, close: closeRest };
  }
}

/** In `/metrics`: rows that the audit lost because the database was slow or away. */
export function countDroppedRows(registry: Registry, audit: DurableAuditSink): void {
  new Counter({
    name: "sandbox0_egress_audit_dropped_total",
    help: "Rows of the egress audit that were not written.",
    registers: [registry],
    collect() {
      this.reset();
      this.inc(audit.dropped());
    },
  });
}
