import type { FastifyInstance } from "fastify";
import type { AttentionApi } from "../../resources/attention/attention.ts";
import { workspaceOf } from "../auth.ts";
import { sendValue } from "../json-body.ts";

/** Our own: the sessions that wait for a person, with what they wait for, and those in trouble. One cheap request to poll. */
export function addAttentionRoutes(app: FastifyInstance, attention: AttentionApi): void {
  app.get("/sandbox0/v1/attention", async (request, reply) => sendValue(reply, await attention.read(workspaceOf(request))));
}
