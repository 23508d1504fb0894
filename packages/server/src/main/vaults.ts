import type { Fetch } from "../resources/vaults/token-request.ts";
import { join } from "node:path";
import type { Logger } from "pino";
import { createLocalKeys } from "../resources/vaults/local-keys.ts";
import { type OpenVaults, openVaults } from "../resources/vaults/open-vaults.ts";
import type { Database } from "../store/pool.ts";
import type { Config } from "./config.ts";

const KEY_FILE = "master-keys.json";

/**
 * The vaults of this server, under `SANDBOX0_MASTER_KEY` or the key file in its data directory. `fetch` is the guarded one.
 * @throws MasterKeyMissing, KeyFileError
 */
export async function openServerVaults(parts: {
  config: Config;
  db: Database;
  fetch: Fetch;
  logger: Logger;
}): Promise<OpenVaults> {
  const { config, db, fetch, logger } = parts;
  const keys = await createLocalKeys({ db, configured: config.masterKey, file: join(config.dataDir, KEY_FILE) });
  return openVaults({ db, keys, fetch, onProblem: (error) => logger.warn({ err: error }, "trouble with the upkeep of vaults") });
}
