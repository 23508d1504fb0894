import type { IncomingHttpHeaders } from "node:http";
import { ApiError } from "@sandbox0/protocol";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { ApiKeys, Principal } from "../resources/api-keys/api-keys.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Set by the authentication hook of every route that needs a key. */
    principal: Principal | undefined;
  }
}

const BEARER = /^Bearer +(\S+)$/i;
const unauthenticated = (message: string): ApiError => new ApiError("authentication_error", message);

/** The key in the headers: `Authorization: Bearer` (SDK 1.x) or `x-api-key` (older SDKs, curl), never both. */
export function readSecret(headers: IncomingHttpHeaders): string {
  const { authorization } = headers;
  const apiKey = headers["x-api-key"];
  if (authorization !== undefined && apiKey !== undefined) {
    throw unauthenticated("Both x-api-key and Authorization are set; send only one of them.");
  }
  if (typeof apiKey === "string" && apiKey !== "") return apiKey;
  const bearer = BEARER.exec(authorization ?? "")?.[1];
  if (bearer === undefined) throw unauthenticated("x-api-key or Authorization: Bearer header is required");
  return bearer;
}

/** Authenticates a request and ties it to its workspace; the answer names the workspace (contract §1.1, §1.5). */
export function createAuthHook(apiKeys: ApiKeys) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const principal = await apiKeys.authenticate(readSecret(request.headers));
    if (principal === null) throw unauthenticated("invalid x-api-key");
    const wanted = request.headers["anthropic-workspace-id"];
    if (wanted !== undefined && wanted !== "" && wanted !== principal.workspaceId) {
      throw new ApiError("permission_error", "anthropic-workspace-id: this API key belongs to another workspace");
    }
    request.principal = principal;
    reply.header("anthropic-workspace-id", principal.workspaceId);
  };
}

export function principalOf(request: FastifyRequest): Principal {
  if (request.principal === undefined)
    throw new Error(`${request.routeOptions.url ?? "a route"} is not behind the authentication hook`);
  return request.principal;
}

export function workspaceOf(request: FastifyRequest): string {
  return principalOf(request).workspaceId;
}
