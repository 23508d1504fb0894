import type { RunningServer } from "@sandbox0/server/main";
import { UserError } from "./command.ts";

/**
 * Starts the server from these environment variables. Loaded on demand: the client commands need none of it.
 *
 * @throws UserError for a configuration or a machine that cannot work
 */
export async function startServer(environment: Readonly<Record<string, string | undefined>>): Promise<RunningServer> {
  const { loadConfig, serve } = await import("@sandbox0/server/main");
  try {
    return await serve(loadConfig(environment));
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if ("code" in error && error.code === "bad_configuration") {
      throw new UserError(`The configuration cannot be used.\n${error.message}`, { cause: error });
    }
    throw new UserError(`The server cannot start: ${error.message}\nRun 'sandbox0 doctor' to see what this machine lacks.`, {
      cause: error,
    });
  }
}
