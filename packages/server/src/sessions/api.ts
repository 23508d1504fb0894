import type {
  EventListQuery,
  EventParams,
  Page,
  ResourceAddParams,
  ResourceListQuery,
  ResourceUpdateParams,
  Session,
  SessionCreateParams,
  SessionListQuery,
  SessionResource,
  SessionUpdateParams,
  Thread,
  ThreadListQuery,
} from "@sandbox0/protocol";
import type { FollowSink, Subscription } from "../log/follow.ts";
import type { TraceContext } from "../domain/trace-context.ts";

/**
 * What `http` may ask of sessions. Every call is scoped to a workspace: an id of another workspace answers exactly like
 * an unknown one (`ApiError` not_found_error). All methods throw `ApiError` and nothing else on purpose.
 */
export interface Sessions {
  resources: SessionResources;
  /** Stores the session with its agent snapshot and `initial_events`, or nothing at all (semantics §4.1). */
  create(workspaceId: string, params: SessionCreateParams, trace?: TraceContext | null): Promise<Session>;
  get(workspaceId: string, sessionId: string): Promise<Session>;
  update(workspaceId: string, sessionId: string, params: SessionUpdateParams): Promise<Session>;
  list(
    workspaceId: string,
    query: SessionListQuery,
  ): Promise<{ data: Session[]; next_page: string | null; prev_page: string | null }>;
  archive(workspaceId: string, sessionId: string): Promise<Session>;
  delete(workspaceId: string, sessionId: string): Promise<{ id: string; type: "session_deleted" }>;

  /** Admits the whole batch or nothing; answers with the stored events as JSON texts, in request order. */
  sendEvents(workspaceId: string, sessionId: string, events: readonly EventParams[]): Promise<string[]>;
  /** The log, then what is admitted and not yet taken up. JSON texts: write them as they are. */
  listEvents(
    workspaceId: string,
    sessionId: string,
    query: EventListQuery,
    threadId?: string,
  ): Promise<{ data: string[]; next_page: string | null }>;

  getThread(workspaceId: string, sessionId: string, threadId: string): Promise<Thread>;
  listThreads(
    workspaceId: string,
    sessionId: string,
    query: ThreadListQuery,
  ): Promise<{ data: Thread[]; next_page: string | null }>;

  /**
   * Live events from now on (semantics §5.7): resolves once the subscription stands, so that whatever is committed
   * afterwards is delivered. Write the response's headers after that.
   */
  follow(workspaceId: string, sessionId: string, sink: FollowSink, threadId?: string): Promise<Subscription>;
}

/** What sessions are given to work with (contract §6.1). Changes are there at the session's next tool call. */
export interface SessionResources {
  /** Mounts a copy of the file, which has an id of its own. */
  add(workspaceId: string, sessionId: string, params: ResourceAddParams): Promise<SessionResource>;
  /** In the order in which they were given. */
  list(workspaceId: string, sessionId: string, query: ResourceListQuery): Promise<Page<SessionResource>>;
  retrieve(workspaceId: string, sessionId: string, resourceId: string): Promise<SessionResource>;
  /** Rotates the token of a repository. */
  update(workspaceId: string, sessionId: string, resourceId: string, params: ResourceUpdateParams): Promise<SessionResource>;
  /** Unmounts a file and deletes the session's copy of it. */
  delete(workspaceId: string, sessionId: string, resourceId: string): Promise<{ id: string; type: "session_resource_deleted" }>;
}
