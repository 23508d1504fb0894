import { egressListQuerySchema, pageQuerySchema } from "@sandbox0/protocol";
import type { FastifyInstance } from "fastify";
import type { EgressRequests } from "../../resources/egress/egress-requests.ts";
import { workspaceOf } from "../auth.ts";
import { readQuery, sendValue } from "../json-body.ts";

/** Our own: what sandboxes sent out, and what they were refused; of one session, and of all of the workspace. */
export function addEgressRoutes(app: FastifyInstance, egress: EgressRequests): void {
  app.get<{ Params: { id: string } }>("/sandbox0/v1/sessions/:id/egress", async (request, reply) =>
    sendValue(reply, await egress.list(workspaceOf(request), request.params.id, readQuery(request, pageQuerySchema))),
  );
  app.get("/sandbox0/v1/egress", async (request, reply) =>
    sendValue(reply, await egress.find(workspaceOf(request), readQuery(request, egressListQuerySchema))),
  );
}
