import type {
  EventListQuery,
  EventParams,
  PreviewType,
  Session,
  SessionCreateParams,
  SessionListQuery,
  SessionUpdateParams,
  Thread,
} from "@sandbox0/protocol";

/**
 * What `http` may ask of sessions. Every call is scoped to a workspace: an id of another workspace answers exactly like
 * an unknown one (`ApiError` not_found_error). All methods throw `ApiError` and nothing else on purpose.
 */
export interface Sessions {
  /** Stores the session with its agent snapshot and `initial_events`, or nothing at all (semantics §4.1). */
  create(workspaceId: string, params: SessionCreateParams): Promise<Session>;
  get(workspaceId: string, sessionId: string): Promise<Session>;
  update(workspaceId: string, sessionId: string, params: SessionUpdateParams): Promise<Session>;
  list(workspaceId: string, query: SessionListQuery): Promise<{ data: Session[]; next_page: string | null; prev_page: string | null }>;
  archive(workspaceId: string, sessionId: string): Promise<Session>;
  delete(workspaceId: string, sessionId: string): Promise<{ id: string; type: "session_deleted" }>;

  /** Admits the whole batch or nothing; answers with the stored events as JSON texts, in request order. */
  sendEvents(workspaceId: string, sessionId: string, events: readonly EventParams[]): Promise<string[]>;
  /** The log, then what is admitted and not yet taken up. JSON texts: write them as they are. */
  listEvents(
    workspaceId: string,
    sessionId: string,
    query: EventListQuery & { threadId?: string },
  ): Promise<{ data: string[]; next_page: string | null }>;

  getThread(workspaceId: string, sessionId: string, threadId: string): Promise<Thread>;
  listThreads(workspaceId: string, sessionId: string, query: ThreadListQuery): Promise<{ data: Thread[]; next_page: string | null }>;

  /**
   * Live events from now on (semantics §5.7): resolves once the subscription stands, so that whatever is committed
   * afterwards is delivered. Write the response's headers after that.
   */
  follow(workspaceId: string, sessionId: string, sink: FollowSink & { threadId?: string }): Promise<Subscription>;
}

export interface ThreadListQuery {
  statuses?: readonly string[] | undefined;
  limit?: number | undefined;
  page?: string | undefined;
}

/** One durable event, encoded once for all its readers. */
export interface LogFrame {
  seq: number;
  id: string;
  type: string;
  /** The event as the API shows it. */
  json: string;
  /** The SSE frame, encoded on first use and shared by all streams; see `encodeFrame` in protocol. */
  frame: Buffer;
}

/** A live-only preview (contract §7.9). `offset` counts characters of this (event, index) that came before. */
export type LivePreview =
  | { type: "start"; eventType: PreviewType; eventId: string }
  | { type: "text"; eventId: string; index: number; offset: number; text: string };

export interface FollowSink {
  /** Frames in `seq` order. Answer `false` when the socket is full: nothing comes until `resume()`. */
  events(frames: readonly LogFrame[]): boolean;
  /** May be dropped by either side. Never called between `events() === false` and `resume()`. */
  preview(preview: LivePreview): void;
  /** No more will come: the session was deleted (its `session.deleted` frame came first), or the server stops. */
  end(reason: "deleted" | "shutdown"): void;
}

export interface Subscription {
  /** The socket has drained: goes on after the last frame handed over, from the log. */
  resume(): void;
  close(): void;
}
