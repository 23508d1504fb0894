import { resourceAddParamsSchema, resourceListQuerySchema, resourceUpdateParamsSchema } from "@sandbox0/protocol";
import type { FastifyInstance } from "fastify";
import type { SessionResources } from "../../sessions/api.ts";
import { workspaceOf } from "../auth.ts";
import { readBody, readQuery, sendValue } from "../json-body.ts";

interface Id {
  Params: { id: string };
}
interface Resource {
  Params: { id: string; resource: string };
}

const LIST = "/v1/sessions/:id/resources";
const ONE = "/v1/sessions/:id/resources/:resource";

export function addSessionResourceRoutes(app: FastifyInstance, resources: SessionResources): void {
  app.post<Id>(LIST, async (request, reply) => {
    const params = readBody(request, resourceAddParamsSchema);
    return sendValue(reply, await resources.add(workspaceOf(request), request.params.id, params));
  });
  app.get<Id>(LIST, async (request, reply) => {
    const query = readQuery(request, resourceListQuerySchema);
    return sendValue(reply, await resources.list(workspaceOf(request), request.params.id, query));
  });
  app.get<Resource>(ONE, async (request, reply) => {
    const { id, resource } = request.params;
    return sendValue(reply, await resources.retrieve(workspaceOf(request), id, resource));
  });
  app.route<Resource>({
    method: ["POST", "PATCH"],
    url: ONE,
    handler: async (request, reply) => {
      const { id, resource } = request.params;
      const params = readBody(request, resourceUpdateParamsSchema);
      return sendValue(reply, await resources.update(workspaceOf(request), id, resource, params));
    },
  });
  app.delete<Resource>(ONE, async (request, reply) => {
    const { id, resource } = request.params;
    return sendValue(reply, await resources.delete(workspaceOf(request), id, resource));
  });
}
