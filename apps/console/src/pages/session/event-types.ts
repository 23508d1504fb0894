import type { EventFilterType } from "@sandbox0/protocol";
import type { Tone } from "../../ui/badge.tsx";

interface EventGroup {
  label: string;
  types: readonly EventFilterType[];
}

/** What the list of events can be narrowed to. */
export const EVENT_GROUPS: readonly EventGroup[] = [
  { label: "Messages", types: ["user.message", "agent.message", "system.message"] },
  {
    label: "Tool calls and results",
    types: [
      "agent.tool_use",
      "agent.tool_result",
      "agent.mcp_tool_use",
      "agent.mcp_tool_result",
      "agent.custom_tool_use",
      "user.custom_tool_result",
      "user.tool_result",
      "user.tool_confirmation",
    ],
  },
  { label: "Approvals and answers", types: ["user.tool_confirmation", "user.custom_tool_result", "user.tool_result"] },
  { label: "Errors", types: ["session.error", "workflow_run.error"] },
  {
    label: "Status",
    types: [
      "session.status_running",
      "session.status_idle",
      "session.status_rescheduled",
      "session.status_terminated",
      "session.updated",
    ],
  },
  { label: "Model requests", types: ["span.model_request_start", "span.model_request_end", "session.usage"] },
  {
    label: "What clients sent",
    types: [
      "user.message",
      "user.interrupt",
      "user.tool_confirmation",
      "user.custom_tool_result",
      "user.tool_result",
      "user.define_outcome",
      "system.message",
    ],
  },
];

export function toneOf(type: string): Tone {
  if (type.endsWith("error")) return "bad";
  if (type.startsWith("user.")) return "violet";
  if (type.startsWith("agent.")) return type.includes("tool") ? "warn" : "info";
  return "mute";
}
