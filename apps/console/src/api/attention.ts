import { useQuery } from "@tanstack/react-query";
import type { StopReason } from "@sandbox0/protocol";
import { useClient } from "./client.ts";

/** A call that somebody must answer, as `GET /sandbox0/v1/attention` shows it. */
export interface WaitingCall {
  id: string;
  type: "agent.tool_use" | "agent.mcp_tool_use" | "agent.custom_tool_use";
  name: string;
  /** `null`: too long for an overview. */
  input: Record<string, unknown> | null;
}
export interface SessionAttention {
  type: "session_attention";
  session_id: string;
  title: string | null;
  agent_id: string;
  agent_name: string;
  status: "idle" | "terminated";
  stop_reason: StopReason | null;
  /** When it came to this. */
  since: string;
  calls: WaitingCall[];
}
export interface Attention {
  type: "attention";
  /** Sessions that wait for an answer, the longest wait first. */
  waiting: SessionAttention[];
  waiting_count: number;
  /** Of the newest sessions those that ended in trouble, the latest first. */
  troubled: SessionAttention[];
}

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
