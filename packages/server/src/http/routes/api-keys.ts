import { apiKeyCreateParamsSchema } from "@sandbox0/protocol";
import type { FastifyInstance } from "fastify";
import type { ApiKeys } from "../../resources/api-keys/api-keys.ts";
import { principalOf } from "../auth.ts";
import { readBody, sendValue } from "../json-body.ts";

/** Our own: the official API has no operation that makes keys (contract §1.2). */
export function addApiKeyRoutes(app: FastifyInstance, apiKeys: ApiKeys): void {
  app.post("/sandbox0/v1/api_keys", async (request, reply) =>
    sendValue(reply, await apiKeys.create(principalOf(request), readBody(request, apiKeyCreateParamsSchema))),
  );
  app.get("/sandbox0/v1/api_keys", async (request, reply) =>
    sendValue(reply, { data: await apiKeys.list(principalOf(request)) }),
  );
  app.delete<{ Params: { id: string } }>("/sandbox0/v1/api_keys/:id", async (request, reply) =>
    sendValue(reply, await apiKeys.revoke(principalOf(request), request.params.id)),
  );
}
