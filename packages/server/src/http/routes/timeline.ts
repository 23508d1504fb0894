import { pageQuerySchema } from "@sandbox0/protocol";
import type { FastifyInstance } from "fastify";
import type { Timelines } from "../../resources/timeline/timelines.ts";
import type { SessionTraces } from "../../traces/session-traces.ts";
import { workspaceOf } from "../auth.ts";
import { readQuery, sendJson, sendValue } from "../json-body.ts";

export interface TimelineApi {
  timelines: Timelines;
  traces: SessionTraces;
}

/** Our own: what a session did and how long it took, as spans and as OTLP has them. */
export function addTimelineRoutes(app: FastifyInstance, { timelines, traces }: TimelineApi): void {
  app.get<{ Params: { id: string } }>("/sandbox0/v1/sessions/:id/timeline", async (request, reply) =>
    sendValue(reply, await timelines.read(workspaceOf(request), request.params.id, readQuery(request, pageQuerySchema))),
  );
  app.get<{ Params: { id: string } }>("/sandbox0/v1/sessions/:id/traces", async (request, reply) =>
    sendJson(reply, await traces.read(workspaceOf(request), request.params.id, readQuery(request, pageQuerySchema))),
  );
}
