import {
  pageQuerySchema,
  sessionForkParamsSchema,
  sessionRestoreParamsSchema,
  snapshotCreateParamsSchema,
} from "@sandbox0/protocol";
import type { FastifyInstance } from "fastify";
import type { Snapshots } from "../../sessions/snapshots.ts";
import { workspaceOf } from "../auth.ts";
import { readBody, readQuery, sendValue } from "../json-body.ts";

interface Id {
  Params: { id: string };
}
interface SnapshotId {
  Params: { id: string; snapshot: string };
}

const SESSION = "/sandbox0/v1/sessions/:id";

/** Our own: snapshots of sessions, their forks, and the way back. */
export function addSnapshotRoutes(app: FastifyInstance, snapshots: Snapshots): void {
  app.post<Id>(`${SESSION}/snapshots`, async (request, reply) => {
    const params = readBody(request, snapshotCreateParamsSchema);
    return sendValue(reply, await snapshots.create(workspaceOf(request), request.params.id, params));
  });
  app.get<Id>(`${SESSION}/snapshots`, async (request, reply) =>
    sendValue(reply, await snapshots.list(workspaceOf(request), request.params.id, readQuery(request, pageQuerySchema))),
  );
  app.get<SnapshotId>(`${SESSION}/snapshots/:snapshot`, async (request, reply) =>
    sendValue(reply, await snapshots.retrieve(workspaceOf(request), request.params.id, request.params.snapshot)),
  );
  app.delete<SnapshotId>(`${SESSION}/snapshots/:snapshot`, async (request, reply) =>
    sendValue(reply, await snapshots.delete(workspaceOf(request), request.params.id, request.params.snapshot)),
  );
  app.post<Id>(`${SESSION}/fork`, async (request, reply) => {
    const params = readBody(request, sessionForkParamsSchema);
    return sendValue(reply, await snapshots.fork(workspaceOf(request), request.params.id, params));
  });
  app.post<Id>(`${SESSION}/restore`, async (request, reply) => {
    const params = readBody(request, sessionRestoreParamsSchema);
    return sendValue(reply, await snapshots.restore(workspaceOf(request), request.params.id, params));
  });
}
