import { join } from "node:path";
import type { SandboxPool } from "@sandbox0/sandbox";
import type { Logger } from "pino";
import type { SessionPolicies } from "../policy/session-policies.ts";
import type { ProvisionPart } from "../provision/port.ts";
import { buildMirror } from "../provision/repositories/mirror-builder.ts";
import { openMirrors } from "../provision/repositories/mirrors.ts";
import { createRepositoriesPart } from "../provision/repositories/repositories-part.ts";
import type { OpenVaults } from "../resources/vaults/open-vaults.ts";
import type { Database } from "../store/pool.ts";
import type { Config } from "./config.ts";
import type { Outbound } from "./gateways.ts";

/** Below the sandbox driver's directory: sandboxes are shown some of what is in it. */
const MIRRORS_DIR = join("sandbox", "repositories");

export interface ServerRepositories {
  part: ProvisionPart;
  close(): Promise<void>;
}

/** Repositories of sessions, with their mirrors in the data directory. */
export function openRepositories(deps: {
  config: Config;
  db: Database;
  vaults: Pick<OpenVaults, "tokens">;
  policies: SessionPolicies;
  pool: SandboxPool;
  outbound: Outbound;
  logger: Logger;
}): ServerRepositories {
  const { config, db, vaults, policies, pool, outbound, logger } = deps;
  const mirrors = openMirrors({
    dir: join(config.dataDir, MIRRORS_DIR),
    build: (order, signal) => buildMirror(pool, order, signal),
    now: () => Date.now(),
    onProblem: (error) => logger.warn({ err: error }, "trouble with the mirror of a repository; sessions clone it without"),
  });
  const { fetch } = outbound;
  return {
    part: createRepositoriesPart({ db, policies, tokens: vaults.tokens, fetch, ports: config.egressPorts, mirrors }),
    close: () => mirrors.close(),
  };
}
