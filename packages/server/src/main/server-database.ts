import type { Logger } from "pino";
import type { Config } from "./config.ts";
import { startEmbeddedPostgres } from "./embedded-postgres.ts";

/** The Postgres of a server: the operator's, or the embedded one. */
export interface ServerDatabase {
  connectionString: string;
  /** After every pool is closed. */
  close(): Promise<void>;
}

/** @param onWaiting is told when there is nothing to do but wait for Postgres; maybe never, maybe more than once */
export async function openServerDatabase(config: Config, logger: Logger, onWaiting?: () => void): Promise<ServerDatabase> {
  if (config.databaseUrl !== undefined) return { connectionString: config.databaseUrl, close: async () => undefined };
  const embedded = await startEmbeddedPostgres({
    dataDir: config.dataDir,
    log: (message, error) => logger.info({ err: error }, message),
    ...(onWaiting && { onWaiting }),
  });
  return { connectionString: embedded.connectionString, close: () => embedded.stop() };
}
