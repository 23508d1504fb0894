import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type Client, type ListPage, useClient } from "../api/client.ts";

/** Reading and changing what sessions are made from: agents, environments, vaults and so on. */
const RESOURCE = "resource";
/** What the form of a new session offers. */
const CHOICES = "new-session-choices";
const PAGE_ROWS = 50;

/** Of everything that was read at this path. */
export const resourceKey = (path: string): readonly string[] => [RESOURCE, path];

type QueryValue = string | number | boolean | undefined;
export type ListQuery = Readonly<Record<string, QueryValue>>;

interface Reading<T> {
  query?: ListQuery;
  /** Milliseconds until it is looked at again; `false`: when it is changed here. */
  pollMs?: (data: T | undefined) => number | false;
  enabled?: boolean;
}

/** One thing by its path, such as `/v1/agents/agent_1`. */
export function useResource<T>(path: string, { query = {}, pollMs, enabled = true }: Reading<T> = {}) {
  const client = useClient();
  return useQuery<T>({
    queryKey: [...resourceKey(path), query],
    queryFn: async ({ signal }): Promise<T> => client.get<T>(path, { query, signal }),
    enabled,
    ...(pollMs && { refetchInterval: ({ state }) => pollMs(state.data) }),
  });
}

/** As the server has it when the page is opened, whatever was read before: a form must not begin with what changed since. */
export function useFreshResource<T>(path: string) {
  const client = useClient();
  const { data, error, isFetchedAfterMount, refetch } = useQuery<T>({
    queryKey: [...resourceKey(path), {}],
    queryFn: async ({ signal }): Promise<T> => client.get<T>(path, { signal }),
    refetchOnMount: "always",
  });
  return isFetchedAfterMount ? { data, error, refetch } : { data: undefined, error: null, refetch };
}

/** A list by its path, page after page; `rows` are those of all pages that were read. */
export function useResourceList<T>(path: string, query: ListQuery = {}, options: { pollMs?: number; enabled?: boolean } = {}) {
  const client = useClient();
  const { data, ...list } = useInfiniteQuery({
    queryKey: [...resourceKey(path), "list", query],
    initialPageParam: null as string | null,
    queryFn: ({ pageParam, signal }) =>
      client.get<ListPage<T>>(path, {
        query: { limit: PAGE_ROWS, ...query, ...(pageParam !== null && { page: pageParam }) },
        signal,
      }),
    getNextPageParam: (last) => last.next_page,
    enabled: options.enabled ?? true,
    ...(options.pollMs !== undefined && { refetchInterval: options.pollMs }),
  });
  return { ...list, rows: data?.pages.flatMap((page) => page.data) };
}

export type ResourceList<T> = ReturnType<typeof useResourceList<T>>;

/**
 * Something that changes what the server has. Everything that is shown is read again behind it.
 * @param options `leaves`: the page is left behind it, so what it shows, and may be gone, is not read again
 */
export function useChange<V, R>(change: (client: Client, value: V) => Promise<R>, options: { leaves?: boolean } = {}) {
  const client = useClient();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (value: V) => change(client, value),
    onSuccess: () => {
      const refetchType = options.leaves ? "none" : "active";
      for (const key of [RESOURCE, CHOICES]) void queries.invalidateQueries({ queryKey: [key], refetchType });
    },
  });
}

/** A change is asked for once: what was done may have been done although the answer was lost. */
export const ONCE = { maxRetries: 0 } as const;
