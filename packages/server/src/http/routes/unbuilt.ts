import { ApiError, OPERATIONS, OPERATION_NAMES, type OperationName } from "@sandbox0/protocol";
import type { FastifyInstance } from "fastify";

/** What this server answers itself; every other operation of the official API is a 501. */
export const BUILT_OPERATIONS: ReadonlySet<OperationName> = new Set([
  "agents.create",
  "agents.retrieve",
  "agents.update",
  "agents.list",
  "agents.archive",
  "agents.versions.list",
  "environments.create",
  "environments.retrieve",
  "environments.update",
  "environments.list",
  "environments.delete",
  "environments.archive",
  "sessions.create",
  "sessions.retrieve",
  "sessions.update",
  "sessions.list",
  "sessions.delete",
  "sessions.archive",
  "sessions.events.list",
  "sessions.events.send",
  "sessions.events.stream",
  "sessions.resources.add",
  "sessions.resources.retrieve",
  "sessions.resources.update",
  "sessions.resources.list",
  "sessions.resources.delete",
  "sessions.threads.retrieve",
  "sessions.threads.list",
  "sessions.threads.events.list",
  "sessions.threads.events.stream",
  "vaults.create",
  "vaults.retrieve",
  "vaults.update",
  "vaults.list",
  "vaults.delete",
  "vaults.archive",
  "vaults.credentials.create",
  "vaults.credentials.retrieve",
  "vaults.credentials.update",
  "vaults.credentials.list",
  "vaults.credentials.delete",
  "vaults.credentials.archive",
  "vaults.credentials.mcpOAuthValidate",
  "memoryStores.create",
  "memoryStores.retrieve",
  "memoryStores.update",
  "memoryStores.list",
  "memoryStores.delete",
  "memoryStores.archive",
  "memoryStores.memories.create",
  "memoryStores.memories.retrieve",
  "memoryStores.memories.update",
  "memoryStores.memories.list",
  "memoryStores.memories.delete",
  "memoryStores.memoryVersions.retrieve",
  "memoryStores.memoryVersions.list",
  "memoryStores.memoryVersions.redact",
  "files.upload",
  "files.list",
  "files.retrieveMetadata",
  "files.download",
  "files.delete",
  "skills.create",
  "skills.retrieve",
  "skills.list",
  "skills.delete",
  "skills.versions.create",
  "skills.versions.retrieve",
  "skills.versions.list",
  "skills.versions.delete",
  "skills.versions.download",
  "models.list",
  "models.retrieve",
]);

/**
 * Operations that are not built answer 501 before their body is read (some are uploads), after the key was checked. A
 * retry would not help: the SDK is told not to.
 */
export function addUnbuiltRoutes(app: FastifyInstance): void {
  for (const operation of OPERATION_NAMES) {
    if (BUILT_OPERATIONS.has(operation)) continue;
    const [method, path] = OPERATIONS[operation];
    const refuse = async (): Promise<never> => {
      throw new ApiError("api_error", `${operation} is not implemented by this server.`, { status: 501, shouldRetry: false });
    };
    app.route({
      // Updates are POST in the SDKs; older material shows PATCH (contract §1.4).
      method: operation.endsWith(".update") ? ["POST", "PATCH"] : [method],
      url: path.replaceAll(/\{(\w+)\}/g, ":$1"),
      preParsing: refuse,
      handler: refuse,
    });
  }
}
