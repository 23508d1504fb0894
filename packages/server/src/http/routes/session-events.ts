import {
  eventListQuerySchema,
  eventSendParamsSchema,
  eventStreamQuerySchema,
  threadEventListQuerySchema,
  threadListQuerySchema,
} from "@sandbox0/protocol";
import type { FastifyInstance } from "fastify";
import type { Sessions } from "../../sessions/api.ts";
import { workspaceOf } from "../auth.ts";
import { readEventBody, readQuery, sendJson, sendPage, sendValue } from "../json-body.ts";
import type { StreamHub } from "../stream-hub.ts";

interface Id {
  Params: { id: string };
}
interface ThreadId {
  Params: { id: string; threadId: string };
}

/** Events of a session and of its threads: list, send, follow (contract §7.1). */
export function addSessionEventRoutes(app: FastifyInstance, sessions: Sessions, hub: StreamHub): void {
  app.get<Id>("/v1/sessions/:id/events", async (request, reply) =>
    sendPage(reply, await sessions.listEvents(workspaceOf(request), request.params.id, readQuery(request, eventListQuerySchema))),
  );
  app.post<Id>("/v1/sessions/:id/events", async (request, reply) => {
    const { events } = readEventBody(request, eventSendParamsSchema);
    const stored = await sessions.sendEvents(workspaceOf(request), request.params.id, events);
    return sendJson(reply, `{"data":[${stored.join(",")}]}`);
  });
  app.get<Id>("/v1/sessions/:id/events/stream", async (request, reply) => {
    const { event_deltas: previews = [] } = readQuery(request, eventStreamQuerySchema);
    return hub.open(request, reply, previews, (sink) => sessions.follow(workspaceOf(request), request.params.id, sink));
  });
  app.get<Id>("/v1/sessions/:id/threads", async (request, reply) =>
    sendValue(
      reply,
      await sessions.listThreads(workspaceOf(request), request.params.id, readQuery(request, threadListQuerySchema)),
    ),
  );
  app.get<ThreadId>("/v1/sessions/:id/threads/:threadId", async (request, reply) => {
    const { id, threadId } = request.params;
    return sendValue(reply, await sessions.getThread(workspaceOf(request), id, threadId));
  });
  app.get<ThreadId>("/v1/sessions/:id/threads/:threadId/events", async (request, reply) => {
    const { id, threadId } = request.params;
    const query = readQuery(request, threadEventListQuerySchema);
    return sendPage(reply, await sessions.listEvents(workspaceOf(request), id, query, threadId));
  });
  app.get<ThreadId>("/v1/sessions/:id/threads/:threadId/stream", async (request, reply) => {
    const { id, threadId } = request.params;
    const { event_deltas: previews = [] } = readQuery(request, eventStreamQuerySchema);
    return hub.open(request, reply, previews, (sink) => sessions.follow(workspaceOf(request), id, sink, threadId));
  });
}
