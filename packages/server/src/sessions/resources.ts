import {
  type ApiError,
  decodeCursor,
  encodeCursor,
  invalidRequest,
  notFound,
  type ResourceAddParams,
  type ResourceUpdateParams,
  SESSION_RESOURCES_MAX,
} from "@sandbox0/protocol";
import type { EventLog } from "../log/event-log.ts";
import type { ResourceTokens } from "../resources/vaults/resource-tokens.ts";
import type { Database } from "../store/pool.ts";
import type { Queryable } from "../store/query.ts";
import { writeResourceToken } from "../store/resource-tokens.ts";
import {
  deleteSessionResource,
  listSessionResources,
  readMountedBytes,
  readSessionResource,
  type ResourceRecord,
  touchSessionResource,
} from "../store/session-resources.ts";
import { readIdentity, touchSessionRow } from "../store/sessions.ts";
import type { SessionResources } from "./api.ts";
import { resolveResources, storeResources } from "./new-resources.ts";
import { resourceObject } from "./resource-object.ts";

export interface SessionResourcesDeps {
  db: Database;
  log: EventLog;
  tokens: Pick<ResourceTokens, "seal">;
}

const unknownSession = (id: string): ApiError => notFound(`Session \`${id}\` not found.`);
const unknownResource = (id: string): ApiError => notFound(`Session resource \`${id}\` not found.`);

export function createSessionResources(deps: SessionResourcesDeps): SessionResources {
  const { db } = deps;
  return {
    async add(workspaceId, sessionId, params) {
      return resourceObject(await addResource(deps, workspaceId, sessionId, params));
    },
    async list(workspaceId, sessionId, { limit, page }) {
      await needSession(db.reads, workspaceId, sessionId);
      const list = `resources of ${sessionId}`;
      const after = page === undefined ? null : String(decodeCursor(page, { list, order: "asc", key: ["id"] }).key[0]);
      const records = await listSessionResources(db.reads, sessionId);
      // They may be a few hundred, and are read with each session anyway.
      const start = after === null ? 0 : records.findIndex(({ id }) => id === after) + 1;
      if (after !== null && start === 0) throw invalidRequest("page: the resource where this page begins is gone; list again");
      const end = limit === undefined ? records.length : start + limit;
      const last = end < records.length ? records[end - 1] : undefined;
      return {
        data: records.slice(start, end).map(resourceObject),
        next_page: last ? encodeCursor({ list, order: "asc", key: [last.id] }) : null,
      };
    },
    async retrieve(workspaceId, sessionId, resourceId) {
      await needSession(db.reads, workspaceId, sessionId);
      return resourceObject(await needResource(db.reads, sessionId, resourceId));
    },
    async update(workspaceId, sessionId, resourceId, params) {
      await rotateToken(deps, workspaceId, sessionId, resourceId, params);
      return resourceObject(await needResource(db, sessionId, resourceId));
    },
    async delete(workspaceId, sessionId, resourceId) {
      await changing(deps, workspaceId, sessionId, async (tx) => {
        const { config } = await needResource(tx, sessionId, resourceId);
        if (config.type !== "file")
          throw invalidRequest(
            `A resource of type \`${config.type}\` stays for as long as its session; only files can be removed.`,
          );
        await deleteSessionResource(tx, resourceId);
      });
      return { id: resourceId, type: "session_resource_deleted" };
    },
  };
}

async function needSession(db: Queryable, workspaceId: string, sessionId: string): Promise<void> {
  if ((await readIdentity(db, workspaceId, sessionId)) === null) throw unknownSession(sessionId);
}

async function needResource(db: Queryable, sessionId: string, resourceId: string): Promise<ResourceRecord> {
  const record = await readSessionResource(db, sessionId, resourceId);
  // The API gives memory stores no id, so none is theirs.
  if (!record || record.config.type === "memory_store") throw unknownResource(resourceId);
  return record;
}

/** Under the session's lock: what others add meanwhile counts. @throws ApiError */
async function changing<T>(
  { log }: SessionResourcesDeps,
  workspaceId: string,
  sessionId: string,
  change: (tx: Queryable) => Promise<T>,
): Promise<T> {
  const done = await log.locked({ sessionId, workspaceId }, async ({ tx, ...session }) => {
    if (session.archived) throw invalidRequest("This session is archived and can no longer be changed.");
    if (session.head.status === "terminated") throw invalidRequest("This session is terminated and can no longer be changed.");
    const value = await change(tx);
    await touchSessionRow(tx, sessionId);
    return { value };
  });
  if (!done) throw unknownSession(sessionId);
  return done.value;
}

async function addResource(
  deps: SessionResourcesDeps,
  workspaceId: string,
  sessionId: string,
  params: ResourceAddParams,
): Promise<ResourceRecord> {
  await needSession(deps.db.reads, workspaceId, sessionId);
  const resolved = await resolveResources(deps, workspaceId, [params], () => "", new Date());
  const [record] = resolved.records;
  if (!record) throw new Error("one resource was resolved to none");
  await changing(deps, workspaceId, sessionId, async (tx) => {
    const records = await listSessionResources(tx, sessionId);
    if (records.length >= SESSION_RESOURCES_MAX)
      throw invalidRequest(`A session has at most ${SESSION_RESOURCES_MAX} resources; remove one first.`);
    const existing = { records, mountedBytes: await readMountedBytes(tx, sessionId) };
    await storeResources(tx, { id: sessionId, workspaceId }, resolved, existing);
  });
  return record;
}

/** From the next request of the git gateway on the new one is used. */
async function rotateToken(
  deps: SessionResourcesDeps,
  workspaceId: string,
  sessionId: string,
  resourceId: string,
  { authorization_token: token }: ResourceUpdateParams,
): Promise<void> {
  const sealed = await deps.tokens.seal(resourceId, token);
  await changing(deps, workspaceId, sessionId, async (tx) => {
    const { config } = await needResource(tx, sessionId, resourceId);
    if (config.type !== "github_repository")
      throw invalidRequest(`A resource of type \`${config.type}\` has no authorization_token, and nothing else can be updated.`);
    await writeResourceToken(tx, sealed);
    await touchSessionResource(tx, resourceId, new Date());
  });
}
