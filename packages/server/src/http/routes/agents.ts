import {
  agentCreateParamsSchema,
  agentListQuerySchema,
  agentRetrieveQuerySchema,
  agentUpdateParamsSchema,
  pageQuerySchema,
} from "@sandbox0/protocol";
import type { FastifyInstance } from "fastify";
import type { Agents } from "../../resources/agents/agents.ts";
import { workspaceOf } from "../auth.ts";
import { readBody, readQuery, sendJson, sendPage } from "../json-body.ts";

interface Id {
  Params: { id: string };
}

export function addAgentRoutes(app: FastifyInstance, agents: Agents): void {
  app.post("/v1/agents", async (request, reply) =>
    sendJson(reply, await agents.create(workspaceOf(request), readBody(request, agentCreateParamsSchema))),
  );
  app.get("/v1/agents", async (request, reply) =>
    sendPage(reply, await agents.list(workspaceOf(request), readQuery(request, agentListQuerySchema))),
  );
  app.get<Id>("/v1/agents/:id", async (request, reply) => {
    const { version } = readQuery(request, agentRetrieveQuerySchema);
    return sendJson(reply, await agents.retrieve(workspaceOf(request), request.params.id, version));
  });
  app.route<Id>({
    method: ["POST", "PATCH"],
    url: "/v1/agents/:id",
    handler: async (request, reply) =>
      sendJson(reply, await agents.update(workspaceOf(request), request.params.id, readBody(request, agentUpdateParamsSchema))),
  });
  app.post<Id>("/v1/agents/:id/archive", async (request, reply) =>
    sendJson(reply, await agents.archive(workspaceOf(request), request.params.id)),
  );
  app.get<Id>("/v1/agents/:id/versions", async (request, reply) =>
    sendPage(reply, await agents.listVersions(workspaceOf(request), request.params.id, readQuery(request, pageQuerySchema))),
  );
}
