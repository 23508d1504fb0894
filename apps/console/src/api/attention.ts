import type { Attention } from "@sandbox0/protocol";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useClient } from "./client.ts";

const POLL_MS = 5_000;
export const ATTENTION_KEY = ["attention"] as const;

/** One request every few seconds, shared by the sidebar and the home page. */
export function useAttention() {
  const client = useClient();
  return useQuery({
    queryKey: ATTENTION_KEY,
    queryFn: ({ signal }) => client.get<Attention>("/sandbox0/v1/attention", { signal }),
    refetchInterval: POLL_MS,
  });
}

/** Ids of the sessions that wait for a person. */
export function useWaitingIds(): ReadonlySet<string> {
  const { data } = useAttention();
  return useMemo(() => new Set(data?.waiting.map((session) => session.session_id)), [data]);
}
