import { pino } from "pino";
import type { Config } from "./config.ts";
import { makeDataDirectory } from "./data-directory.ts";
import type { RunningServer, ServeOptions } from "./serve.ts";
import { openServerDatabase } from "./server-database.ts";

/** Starts a server. Postgres first: it needs no code of ours to start, and ours is loaded meanwhile, which takes as long. */
export async function serve(config: Config, options: ServeOptions = {}): Promise<RunningServer> {
  const logger = options.logger ?? pino({ level: "info" }, pino.destination(2));
  await makeDataDirectory(config.dataDir);
  const waiting = Promise.withResolvers<void>();
  const database = openServerDatabase(config, logger, waiting.resolve);
  // Also when there was nothing to wait for. That it failed is told by whoever uses it.
  database.then(
    () => waiting.resolve(),
    () => waiting.resolve(),
  );
  await waiting.promise;
  const { serveOn } = await loadServer();
  return serveOn(database, config, { ...options, logger });
}

/** All code of a server; by itself for a process that waits before it serves. */
export const loadServer = (): Promise<typeof import("./serve.ts")> => import("./serve.ts");
