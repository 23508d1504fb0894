import { isDeepStrictEqual } from "node:util";
import {
  ApiError,
  type EventParams,
  type Session,
  type SessionAgent,
  type SessionCreateParams,
  type SessionListQuery,
  type SessionUpdateParams,
  createId,
  decodeCursor,
  encodeCursor,
  invalidRequest,
  type Metadata,
  mergeMetadata,
  notFound,
  PAGE_SIZE_DEFAULT,
} from "@sandbox0/protocol";
import { type AdmitContext, type Admission, admit } from "../domain/admit.ts";
import { refuseOutside } from "../domain/cursor-filter.ts";
import { describeMisfit } from "../domain/harness-fit.ts";
import { newEvent, promoted, terminatedEvents } from "../domain/lifecycle-events.ts";
import type { EventLog, LockedSession } from "../log/event-log.ts";
import type { Follower } from "../log/follow.ts";
import { listSessionEvents } from "../log/list.ts";
import type { Bells } from "../log/bells.ts";
import { resolveSessionAgent, updateSessionAgent } from "../resources/agents/session-agent.ts";
import { resolveSessionEnvironment } from "../resources/environments/session-environment.ts";
import type { HarnessOffer, Harnesses } from "../resources/harnesses/harnesses.ts";
import type { ModelCatalogue } from "../resources/models/model-catalogue.ts";
import type { ResourceTokens } from "../resources/vaults/resource-tokens.ts";
import { checkSessionVaults } from "../resources/vaults/session-vaults.ts";
import type { LlmVault, VaultSecrets } from "../resources/vaults/vault-secrets.ts";
import { type SessionWrite, writeSession } from "../store/append.ts";
import { eventJson, readEventById } from "../store/events.ts";
import type { Database } from "../store/pool.ts";
import {
  archiveSessionRow,
  deleteSessionRow,
  insertSession,
  listSessions,
  readIdentity,
  readSession,
  type SessionIdentity,
  type SessionRow,
  updateSessionRow,
} from "../store/sessions.ts";
import type { Sessions } from "./api.ts";
import { checkMessageFiles } from "./message-files.ts";
import { resolveResources, storeResources } from "./new-resources.ts";
import { createSessionResources } from "./resources.ts";
import { primaryThread, sessionObject } from "./session-object.ts";
import type { TraceContext } from "../domain/trace-context.ts";
import { insertTraceContext } from "../store/trace-contexts.ts";

const HARNESS_KEY = "sandbox0.harness";

export interface SessionsDeps {
  db: Database;
  log: EventLog;
  bells: Bells;
  follower: Follower;
  models: ModelCatalogue;
  vaults: Pick<VaultSecrets, "llmOf">;
  tokens: Pick<ResourceTokens, "seal">;
  harnesses: Harnesses;
  /** Over which API a session with this harness and this LLM vault would be served its model. */
  apiOf(model: string, llm: LlmVault | null, harness: HarnessOffer): string;
}

export function createSessions(deps: SessionsDeps): Sessions {
  const { db, follower } = deps;
  const need = async (workspaceId: string, sessionId: string): Promise<SessionRow> => {
    const row = await readSession(db.reads, workspaceId, sessionId);
    if (!row) throw unknownSession(sessionId);
    return row;
  };
  const needIdentity = async (workspaceId: string, sessionId: string, threadId?: string): Promise<SessionIdentity> => {
    const identity = await readIdentity(db.reads, workspaceId, sessionId);
    if (!identity) throw unknownSession(sessionId);
    if (threadId !== undefined && threadId !== identity.threadId) throw notFound(`Session thread \`${threadId}\` not found.`);
    return identity;
  };
  return {
    resources: createSessionResources(deps),
    create: (workspaceId, params, trace = null) => createSession(deps, workspaceId, params, trace),
    async get(workspaceId, sessionId) {
      return sessionObject(await need(workspaceId, sessionId), new Date());
    },
    async update(workspaceId, sessionId, params) {
      await updateSession(deps, workspaceId, sessionId, params);
      return sessionObject(await need(workspaceId, sessionId), new Date());
    },
    list: (workspaceId, query) => listPage(db, workspaceId, query),
    async archive(workspaceId, sessionId) {
      await archiveSession(deps, workspaceId, sessionId);
      return sessionObject(await need(workspaceId, sessionId), new Date());
    },
    async delete(workspaceId, sessionId) {
      const found = await deps.log.locked({ sessionId, workspaceId }, async (session) => {
        refuseWhileRunning(session, "delete");
        await deleteSessionRow(session.tx, sessionId);
        return true;
      });
      if (!found) throw unknownSession(sessionId);
      deps.bells.deleted(sessionId);
      return { id: sessionId, type: "session_deleted" };
    },
    sendEvents: (workspaceId, sessionId, events) => sendEvents(deps, workspaceId, sessionId, events),
    async listEvents(workspaceId, sessionId, query, threadId) {
      await needIdentity(workspaceId, sessionId, threadId);
      return listSessionEvents(db, sessionId, query);
    },
    async getThread(workspaceId, sessionId, threadId) {
      const row = await need(workspaceId, sessionId);
      if (row.thread_id !== threadId) throw notFound(`Session thread \`${threadId}\` not found.`);
      return primaryThread(row, new Date());
    },
    async listThreads(workspaceId, sessionId, query) {
      const thread = primaryThread(await need(workspaceId, sessionId), new Date());
      if (query.page) decodeCursor(query.page, { list: "threads", order: "asc", key: [] });
      const wanted = query.page === undefined && (!query.statuses?.length || query.statuses.includes(thread.status));
      return { data: wanted ? [thread] : [], next_page: null };
    },
    async follow(workspaceId, sessionId, sink, threadId) {
      await needIdentity(workspaceId, sessionId, threadId);
      const subscription = await follower.follow(sessionId, sink);
      if (!subscription) throw unknownSession(sessionId);
      return subscription;
    },
  };
}

function unknownSession(sessionId: string): ApiError {
  return notFound(`Session \`${sessionId}\` not found.`);
}

function refuseWhileRunning(session: LockedSession, verb: string): void {
  if (session.head.shownStatus === "running") {
    throw invalidRequest(`cannot ${verb} while running: interrupt the session and wait until it is idle`);
  }
}

async function createSession(
  deps: SessionsDeps,
  workspaceId: string,
  params: SessionCreateParams,
  trace: TraceContext | null,
): Promise<Session> {
  refuseUnbuilt(params);
  await checkMessageFiles(deps.db.reads, workspaceId, params.initial_events ?? [], "initial_events");
  const resourceParams = params.resources ?? [];
  const { agent, metadata } = await resolveSessionAgent({ db: deps.db.reads, models: deps.models }, workspaceId, params.agent);
  const environment = await resolveSessionEnvironment(deps.db.reads, workspaceId, params.environment_id, agent);
  if (environment.config.type !== "cloud" && resourceParams.some(({ type }) => type !== "memory_store"))
    throw invalidRequest(
      `Environment ${environment.id} is a self-hosted environment. \`resources\` are not supported with self-hosted environments.`,
    );
  if (environment.config.type !== "cloud") throw unbuilt("Sessions on self_hosted environments are");
  const vaultIds = params.vault_ids ?? [];
  await checkSessionVaults(deps.db.reads, workspaceId, vaultIds);
  const llm = await deps.vaults.llmOf(workspaceId, vaultIds);
  const harness = chooseHarness(deps, llm?.engine ?? null, metadata);
  const misfit = describeMisfit(harness, { id: agent.model.id, api: deps.apiOf(agent.model.id, llm, harness) });
  if (misfit !== null) throw invalidRequest(`agent.model: ${misfit}`);
  const id = createId("session");
  const threadId = createId("thread");
  const now = new Date();
  const resources = await resolveResources(
    { db: deps.db.reads, tokens: deps.tokens },
    workspaceId,
    resourceParams,
    (index) => `resources[${index}].`,
    now,
  );
  const session = {
    id,
    workspaceId,
    threadId,
    agentId: agent.id,
    agentVersion: agent.version,
    agent,
    environmentId: params.environment_id,
    harness: harness.name,
    title: params.title ?? null,
    metadata: params.metadata ?? {},
    vaultIds,
    createdAt: now,
  };
  const enqueue = (params.initial_events ?? []).map((event) => {
    if (event.type !== "user.message") throw unbuilt("Outcomes are");
    return { id: createId("event"), type: event.type, fields: { content: event.content } };
  });
  const first: SessionWrite = { sessionId: id, threadId, generation: null, enqueue, patch: { turnPending: true, wake: "now" } };
  const row = await deps.db.transaction(async (tx) => {
    await insertSession(tx, session);
    if (trace) await insertTraceContext(tx, id, trace);
    await storeResources(tx, { id, workspaceId }, resources, { records: [], mountedBytes: 0 });
    if (enqueue.length > 0) await writeSession(tx, first);
    return readSession(tx, workspaceId, id);
  });
  if (!row) throw new Error(`session ${id} was not there right after it was made`);
  if (enqueue.length > 0) deps.bells.wake(id);
  return sessionObject(row, now);
}

/** The LLM vault's engine, agent metadata, then the server's default (design §5); a session keeps its harness for life. */
function chooseHarness({ harnesses }: SessionsDeps, engine: string | null, agentMetadata: Metadata): HarnessOffer {
  if (engine !== null) return harnesses.need(engine, "vault_ids");
  return harnesses.need(agentMetadata[HARNESS_KEY] ?? harnesses.defaultName, `agent.metadata.${HARNESS_KEY}`);
}

function unbuilt(what: string): ApiError {
  return new ApiError("api_error", `${what} not supported by this server yet.`, { status: 501, shouldRetry: false });
}

/** What is accepted must be honoured: these wait for their issue (DIVERGENCES.md). */
function refuseUnbuilt(params: SessionCreateParams): void {
  if (params.budget) throw unbuilt("Budgets are");
}

async function sendEvents(
  deps: SessionsDeps,
  workspaceId: string,
  sessionId: string,
  events: readonly EventParams[],
): Promise<string[]> {
  const named = events.flatMap((event) => {
    if (event.type === "user.tool_confirmation") return [event.tool_use_id];
    return event.type === "user.custom_tool_result" ? [event.custom_tool_use_id] : [];
  });
  const done = await deps.log.locked({ sessionId, workspaceId, callIds: named }, async (session) => {
    await checkMessageFiles(session.tx, workspaceId, events, "events");
    if (session.archived) throw invalidRequest("This session is archived and accepts no more events.");
    const now = new Date(Math.max(Date.now(), session.head.lastEventAt.getTime()));
    const thread = { threadId: session.threadId, agentName: session.agentName };
    const { head, calls, inbox, inboxBytes } = session;
    const context: AdmitContext = { head, thread, now, calls, inbox, inboxBytes };
    const admission = admit(context, events);
    const written = await session.write(admissionWrite(session, admission));
    return { admission, at: written.at };
  });
  if (!done) throw unknownSession(sessionId);
  return Promise.all(done.admission.echo.map((echo) => echoJson(deps.db, sessionId, echo, done.at)));
}

function admissionWrite({ threadId, head }: LockedSession, admission: Admission): Omit<SessionWrite, "sessionId"> {
  const stops = admission.interrupted && head.status === "rescheduling";
  const idles = admission.append.findLast((event) => event.type === "session.status_idle");
  return {
    threadId,
    generation: null,
    events: admission.append,
    enqueue: admission.enqueue,
    answers: admission.answers,
    finishedCalls: admission.closed,
    patch: {
      ...(admission.startsTurn ? { turnPending: true } : {}),
      ...(admission.interrupted ? { interrupted: true } : {}),
      ...(admission.startsTurn || stops ? { wake: "now" as const } : {}),
      ...(idles ? { stopReason: idles.fields.stop_reason as NonNullable<LockedSession["head"]["stopReason"]> } : {}),
    },
  };
}

async function echoJson(db: Database, sessionId: string, echo: Admission["echo"][number], at: Date): Promise<string> {
  if (echo.state !== "known") {
    const body = JSON.stringify({ type: echo.type, ...echo.fields });
    return eventJson({ id: echo.id, processedAt: echo.state === "logged" ? at : null, body });
  }
  const stored = await readEventById(db, sessionId, echo.id);
  if (!stored) throw new Error(`the answer ${echo.id} is not on the log of ${sessionId}`);
  return eventJson(stored);
}

async function updateSession(
  deps: SessionsDeps,
  workspaceId: string,
  sessionId: string,
  params: SessionUpdateParams,
): Promise<void> {
  if (params.budget)
    throw invalidRequest("budget: a budget can only be set when the session is created", { error_code: "budget_create_only" });
  const found = await deps.log.locked({ sessionId, workspaceId }, async (session) => {
    const row = await readSession(session.tx, workspaceId, sessionId);
    if (!row) throw unknownSession(sessionId);
    if (row.status === "terminated") throw invalidRequest("This session is terminated and can no longer be changed.");
    const agent = params.agent ? await newAgent(session, row, params.agent) : row.agent;
    const title = params.title === undefined ? row.title : params.title;
    const metadata = mergeMetadata(row.metadata, params.metadata ?? {});
    const changed: Record<string, unknown> = {};
    if (title !== row.title) changed.title = title;
    if (!isDeepStrictEqual(metadata, row.metadata) && Object.keys(metadata).length > 0) changed.metadata = metadata;
    if (!isDeepStrictEqual(agent, row.agent)) changed.agent = agent;
    if (Object.keys(changed).length === 0 && isDeepStrictEqual(metadata, row.metadata)) return true;
    await updateSessionRow(session.tx, sessionId, { title, metadata, agent });
    await session.write({ threadId: row.thread_id, generation: null, events: [newEvent("session.updated", changed)] });
    return true;
  });
  if (!found) throw unknownSession(sessionId);
}

async function newAgent(
  session: LockedSession,
  row: SessionRow,
  change: NonNullable<SessionUpdateParams["agent"]>,
): Promise<SessionAgent> {
  if (session.head.shownStatus !== "idle") {
    throw invalidRequest(
      "agent: tools and mcp_servers can only be changed while the session is idle; send a user.interrupt first",
    );
  }
  const agent = updateSessionAgent(row.agent as SessionAgent, change);
  await resolveSessionEnvironment(session.tx, row.workspace_id, row.environment_id, agent);
  return agent;
}

/** Read-only from now on and reported as terminated; a second time changes nothing (semantics §25 no. 16). */
async function archiveSession(deps: SessionsDeps, workspaceId: string, sessionId: string): Promise<void> {
  const found = await deps.log.locked({ sessionId, workspaceId }, async (session) => {
    const row = await readSession(session.tx, workspaceId, sessionId);
    if (!row) throw unknownSession(sessionId);
    if (row.archived_at) return true;
    refuseWhileRunning(session, "archive");
    await archiveSessionRow(session.tx, sessionId);
    const over = session.head.status === "terminated";
    const thread = { threadId: row.thread_id, agentName: String(row.agent.name) };
    await session.write({
      threadId: row.thread_id,
      generation: null,
      events: [...session.inbox.map(promoted), ...(over ? [] : terminatedEvents(thread))],
      takenInputs: session.inbox.map((input) => input.position),
      patch: { status: "terminated", turnPending: false, interrupted: false, wake: null },
    });
    return true;
  });
  if (!found) throw unknownSession(sessionId);
}

async function listPage(
  db: Database,
  workspaceId: string,
  query: SessionListQuery,
): Promise<{ data: Session[]; next_page: string | null; prev_page: string | null }> {
  const order = query.order ?? "desc";
  const limit = query.limit ?? PAGE_SIZE_DEFAULT;
  const cursor = query.page ? decodeCursor(query.page, { list: "sessions", order, key: ["time", "id"] }) : null;
  const back = cursor?.direction === "prev";
  const from = cursor ? { createdAt: new Date(Number(cursor.key[0])), id: String(cursor.key[1]) } : null;
  const walk = back ? (order === "asc" ? "desc" : "asc") : order;
  const times = {
    gt: query["created_at[gt]"],
    gte: query["created_at[gte]"],
    lt: query["created_at[lt]"],
    lte: query["created_at[lte]"],
  };
  if (from) refuseOutside(from.createdAt, times);
  const rows = await listSessions(
    db,
    workspaceId,
    { order: walk, from, limit: limit + 1 },
    {
      agentId: query.agent_id,
      agentVersion: query.agent_version,
      deploymentId: query.deployment_id,
      memoryStoreId: query.memory_store_id,
      statuses: query.statuses,
      includeArchived: query.include_archived,
      ...times,
    },
  );
  const more = rows.length > limit;
  const page = rows.slice(0, limit);
  if (back) page.reverse();
  const key = (row: SessionRow | undefined) => (row ? [row.created_at.getTime(), row.id] : []);
  const next = page.length > 0 && (back || more);
  const prev = page.length > 0 && cursor !== null && (!back || more);
  const now = new Date();
  return {
    data: page.map((row) => sessionObject(row, now)),
    next_page: next ? encodeCursor({ list: "sessions", order, key: key(page.at(-1)) }) : null,
    prev_page: prev ? encodeCursor({ list: "sessions", order, key: key(page[0]), direction: "prev" }) : null,
  };
}
