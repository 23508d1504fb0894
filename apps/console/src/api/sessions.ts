import type {
  EventParams,
  FileMetadata,
  ResourceAddParams,
  Session,
  SessionEvent,
  SessionForkParams,
  SessionResource,
  SessionStatus,
  Snapshot,
  Timeline,
} from "@sandbox0/protocol";
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { apiPath } from "./api-path.ts";
import { ATTENTION_KEY } from "./attention.ts";
import { type ListPage, useClient } from "./client.ts";

const PAGE_SESSIONS = 100;
/** Between two looks at a list of sessions: for each page of it, so that long lists are looked at less often. */
const POLL_MS_PER_PAGE = 3_000;
const TIMELINE_POLL_MS = 3_000;
const FILES_POLL_MS = 5_000;

export interface SessionFilters {
  statuses?: readonly SessionStatus[];
  agent_id?: string;
  include_archived?: boolean;
}

export function useSession(sessionId: string) {
  const client = useClient();
  return useQuery({
    queryKey: ["session", sessionId],
    queryFn: ({ signal }) => client.get<Session>(apiPath`/v1/sessions/${sessionId}`, { signal }),
  });
}

/** Newest first; one poll of the list shows how all of them are, however many run. */
export function useSessionList(filters: SessionFilters, limit = PAGE_SESSIONS) {
  const client = useClient();
  return useInfiniteQuery({
    queryKey: ["sessions", filters, limit],
    initialPageParam: null as string | null,
    queryFn: ({ pageParam, signal }) =>
      client.get<ListPage<Session>>("/v1/sessions", {
        query: { ...filters, limit, ...(pageParam !== null && { page: pageParam }) },
        signal,
      }),
    getNextPageParam: (last) => last.next_page,
    refetchInterval: (query) => POLL_MS_PER_PAGE * (query.state.data?.pages.length ?? 1),
  });
}

/** As they are stored. */
interface SentEvents {
  data: SessionEvent[];
}

/** Sends events; what waits for a person is looked at again. */
export function useSendEvents(sessionId: string) {
  const client = useClient();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (events: readonly EventParams[]) =>
      client.post<SentEvents>(apiPath`/v1/sessions/${sessionId}/events`, { body: { events } }),
    onSuccess: () =>
      Promise.all([
        queries.invalidateQueries({ queryKey: ATTENTION_KEY }),
        queries.invalidateQueries({ queryKey: ["session", sessionId] }),
      ]),
  });
}

export function useArchiveSession(sessionId: string) {
  const client = useClient();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => client.post<Session>(apiPath`/v1/sessions/${sessionId}/archive`),
    onSuccess: () => queries.invalidateQueries(),
  });
}

export function useDeleteSession(sessionId: string) {
  const client = useClient();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => client.delete(apiPath`/v1/sessions/${sessionId}`),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["sessions"] }),
  });
}

export function useForkSession(sessionId: string) {
  const client = useClient();
  return useMutation({
    mutationFn: (params: SessionForkParams) =>
      client.post<Session>(apiPath`/sandbox0/v1/sessions/${sessionId}/fork`, { body: params, timeout: SNAPSHOT_MS_MAX }),
  });
}

/** The server may wait for a minute until the files are kept. */
const SNAPSHOT_MS_MAX = 120_000;

export function useSnapshots(sessionId: string) {
  const client = useClient();
  return useInfiniteQuery({
    queryKey: ["snapshots", sessionId],
    initialPageParam: null as string | null,
    queryFn: ({ pageParam, signal }) =>
      client.get<ListPage<Snapshot>>(apiPath`/sandbox0/v1/sessions/${sessionId}/snapshots`, {
        query: pageParam === null ? {} : { page: pageParam },
        signal,
      }),
    getNextPageParam: (last) => last.next_page,
  });
}

/** Takes, restores and deletes snapshots. */
export function useSnapshotActions(sessionId: string) {
  const client = useClient();
  const queries = useQueryClient();
  const path = apiPath`/sandbox0/v1/sessions/${sessionId}`;
  const onSuccess = () => queries.invalidateQueries({ queryKey: ["snapshots", sessionId] });
  const take = useMutation({
    mutationFn: (name: string) =>
      client.post<Snapshot>(`${path}/snapshots`, { body: name === "" ? {} : { name }, timeout: SNAPSHOT_MS_MAX }),
    onSuccess,
  });
  const restore = useMutation({
    mutationFn: (id: string) => client.post<Session>(`${path}/restore`, { body: { snapshot_id: id } }),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["session", sessionId] }),
  });
  const remove = useMutation({
    mutationFn: (id: string) => client.delete(apiPath`/sandbox0/v1/sessions/${sessionId}/snapshots/${id}`),
    onSuccess,
  });
  return { take, restore, remove };
}

export function useTimeline(sessionId: string, live: boolean) {
  const client = useClient();
  return useInfiniteQuery({
    queryKey: ["timeline", sessionId],
    initialPageParam: null as string | null,
    queryFn: ({ pageParam, signal }) =>
      client.get<Timeline>(apiPath`/sandbox0/v1/sessions/${sessionId}/timeline`, {
        query: pageParam === null ? {} : { page: pageParam },
        signal,
      }),
    getNextPageParam: (last) => last.next_page,
    refetchInterval: live ? TIMELINE_POLL_MS : false,
  });
}

export function useSessionFiles(sessionId: string, live: boolean) {
  const client = useClient();
  return useInfiniteQuery({
    queryKey: ["files", "session", sessionId],
    initialPageParam: null as string | null,
    queryFn: ({ pageParam, signal }) =>
      client.get<ListPage<FileMetadata>>("/v1/files", {
        query: { scope_id: sessionId, limit: PAGE_SESSIONS, ...(pageParam !== null && { page: pageParam }) },
        signal,
      }),
    getNextPageParam: (last) => last.next_page,
    refetchInterval: live ? FILES_POLL_MS : false,
  });
}

/** What can change of a session's resources: files come and go, and the token of a repository is replaced (contract §6.1). */
export function useSessionResources(sessionId: string) {
  const client = useClient();
  const queries = useQueryClient();
  const refresh = () =>
    Promise.all([
      queries.invalidateQueries({ queryKey: ["session", sessionId] }),
      queries.invalidateQueries({ queryKey: ["files", "session", sessionId] }),
    ]);
  const add = useMutation({
    mutationFn: (params: ResourceAddParams) =>
      client.post<SessionResource>(apiPath`/v1/sessions/${sessionId}/resources`, { body: params, maxRetries: 0 }),
    onSuccess: refresh,
  });
  const remove = useMutation({
    mutationFn: (id: string) => client.delete(apiPath`/v1/sessions/${sessionId}/resources/${id}`),
    onSuccess: refresh,
  });
  const replaceToken = useMutation({
    mutationFn: ({ id, token }: { id: string; token: string }) =>
      client.post<SessionResource>(apiPath`/v1/sessions/${sessionId}/resources/${id}`, { body: { authorization_token: token } }),
    // The token is not kept.
    gcTime: 0,
  });
  return { add, remove, replaceToken };
}
