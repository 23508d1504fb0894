import type { ToolResult } from "@sandbox0/harness";
import { WEB_TOOLS } from "../domain/permissions.ts";
import type { WebToolCall, WebTools } from "../web/web-tools.ts";
import type { HeldTurn } from "./turn.ts";

export interface WebToolDeps {
  web: WebTools;
  /** A text that is too long for the model goes to a file of the session's sandbox, which is claimed for it. */
  fitText(turn: HeldTurn, callId: string, text: string): Promise<string>;
}

export function isWebTool(name: string): boolean {
  return WEB_TOOLS.some((tool) => tool === name);
}

/** Runs in the server: no sandbox is claimed, unless the result is too long for the model. */
export async function runWebTool(
  deps: WebToolDeps,
  turn: HeldTurn,
  call: { id: string; name: string; input: Record<string, unknown> },
): Promise<ToolResult> {
  const { name, input } = call;
  const asked = { sessionId: turn.sessionId, name, input, config: configOf(turn, name), signal: turn.controller.signal };
  const { content, isError } = await deps.web.run(asked);
  const fitting = content.map(async (block) =>
    block.type === "text" ? { ...block, text: await deps.fitText(turn, call.id, block.text) } : block,
  );
  return { content: await Promise.all(fitting), isError };
}

/** As the turn began: a change of the lists applies from the next one on (semantics §7). */
function configOf(turn: HeldTurn, name: string): WebToolCall["config"] {
  const toolset = turn.tools.find((tool) => tool.type === "agent_toolset_20260401");
  // The domain knows of a tool's policy only; what else is there was validated when the agent was made.
  return (toolset?.configs.find((config) => config.name === name) ?? {}) as WebToolCall["config"];
}
