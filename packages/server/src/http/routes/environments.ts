import { environmentCreateParamsSchema, environmentListQuerySchema, environmentUpdateParamsSchema } from "@sandbox0/protocol";
import type { FastifyInstance } from "fastify";
import type { Environments } from "../../resources/environments/environments.ts";
import { workspaceOf } from "../auth.ts";
import { readBody, readQuery, sendValue } from "../json-body.ts";

interface Id {
  Params: { id: string };
}

export function addEnvironmentRoutes(app: FastifyInstance, environments: Environments): void {
  app.post("/v1/environments", async (request, reply) =>
    sendValue(reply, await environments.create(workspaceOf(request), readBody(request, environmentCreateParamsSchema))),
  );
  app.get("/v1/environments", async (request, reply) =>
    sendValue(reply, await environments.list(workspaceOf(request), readQuery(request, environmentListQuerySchema))),
  );
  app.get<Id>("/v1/environments/:id", async (request, reply) =>
    sendValue(reply, await environments.retrieve(workspaceOf(request), request.params.id)),
  );
  app.route<Id>({
    method: ["POST", "PATCH"],
    url: "/v1/environments/:id",
    handler: async (request, reply) =>
      sendValue(
        reply,
        await environments.update(workspaceOf(request), request.params.id, readBody(request, environmentUpdateParamsSchema)),
      ),
  });
  app.delete<Id>("/v1/environments/:id", async (request, reply) =>
    sendValue(reply, await environments.delete(workspaceOf(request), request.params.id)),
  );
  app.post<Id>("/v1/environments/:id/archive", async (request, reply) =>
    sendValue(reply, await environments.archive(workspaceOf(request), request.params.id)),
  );
  // Our own: how far its packages are.
  app.get<Id>("/sandbox0/v1/environments/:id/build", async (request, reply) =>
    sendValue(reply, await environments.build(workspaceOf(request), request.params.id)),
  );
}
