import { sessionCreateParamsSchema, sessionListQuerySchema, sessionUpdateParamsSchema } from "@sandbox0/protocol";
import type { FastifyInstance } from "fastify";
import type { Sessions } from "../../sessions/api.ts";
import { workspaceOf } from "../auth.ts";
import { readBody, readQuery, sendValue } from "../json-body.ts";
import { readTraceparent } from "../traceparent.ts";

interface Id {
  Params: { id: string };
}

export function addSessionRoutes(app: FastifyInstance, sessions: Sessions): void {
  app.post("/v1/sessions", async (request, reply) => {
    const params = readBody(request, sessionCreateParamsSchema, { exempt: "initial_events" });
    return sendValue(reply, await sessions.create(workspaceOf(request), params, readTraceparent(request)));
  });
  app.get("/v1/sessions", async (request, reply) =>
    sendValue(reply, await sessions.list(workspaceOf(request), readQuery(request, sessionListQuerySchema))),
  );
  app.get<Id>("/v1/sessions/:id", async (request, reply) =>
    sendValue(reply, await sessions.get(workspaceOf(request), request.params.id)),
  );
  app.route<Id>({
    method: ["POST", "PATCH"],
    url: "/v1/sessions/:id",
    handler: async (request, reply) =>
      sendValue(
        reply,
        await sessions.update(workspaceOf(request), request.params.id, readBody(request, sessionUpdateParamsSchema)),
      ),
  });
  app.delete<Id>("/v1/sessions/:id", async (request, reply) =>
    sendValue(reply, await sessions.delete(workspaceOf(request), request.params.id)),
  );
  app.post<Id>("/v1/sessions/:id/archive", async (request, reply) =>
    sendValue(reply, await sessions.archive(workspaceOf(request), request.params.id)),
  );
}
