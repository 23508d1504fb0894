import type { FastifyInstance } from "fastify";
import { z } from "zod";
import type { ApiKeys } from "../../resources/api-keys/api-keys.ts";
import { principalOf } from "../auth.ts";
import { readBody, sendValue } from "../json-body.ts";

const NAME_CHARS_MAX = 255;
const name = z.string().min(1).max(NAME_CHARS_MAX);
const createSchema = z.object({ name, workspace: name.optional(), admin: z.boolean().optional() });

/** Our own: the official API has no operation that makes keys (contract §1.2). */
export function addApiKeyRoutes(app: FastifyInstance, apiKeys: ApiKeys): void {
  app.post("/sandbox0/v1/api_keys", async (request, reply) =>
    sendValue(reply, await apiKeys.create(principalOf(request), readBody(request, createSchema))),
  );
  app.get("/sandbox0/v1/api_keys", async (request, reply) =>
    sendValue(reply, { data: await apiKeys.list(principalOf(request)) }),
  );
  app.delete<{ Params: { id: string } }>("/sandbox0/v1/api_keys/:id", async (request, reply) =>
    sendValue(reply, await apiKeys.revoke(principalOf(request), request.params.id)),
  );
}
