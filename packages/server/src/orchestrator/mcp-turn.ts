import { mcpToolName, type ToolDefinition, type ToolResult } from "@sandbox0/harness";
import type { ResultContent } from "@sandbox0/protocol";
import type { NewEvent, ToolCall } from "../domain/head.ts";
import { errorEvent } from "../domain/lifecycle-events.ts";
import { mcpPolicy } from "../domain/permissions.ts";
import type { McpConnector, McpLink } from "../mcp/connector.ts";
import { MCP_TOOLS_MAX } from "../mcp/limits.ts";
import { McpFailure } from "../mcp/mcp-failure.ts";
import { textOf } from "../mcp/result-content.ts";
import { type HeldTurn, mcpServersOf, type TurnMcp } from "./turn.ts";

export interface McpDeps {
  mcp: McpConnector;
  /** A text that is too long for the model goes to a file of the session's sandbox: what the model is given instead. */
  fitText(turn: HeldTurn, callId: string, text: string): Promise<string>;
}

/**
 * Connects the servers of the turn's agent, once a turn (semantics §9). The turn goes on without those that fail.
 * @returns what the log shall say of them
 */
export async function connectMcp({ mcp }: McpDeps, turn: HeldTurn): Promise<NewEvent[]> {
  const servers = mcpServersOf(turn);
  turn.mcp = { links: new Map(), reported: new Set(), definitions: [] };
  if (servers.length === 0) return [];
  const { workspace_id: workspaceId, vault_ids: vaultIds } = turn.session;
  const session = { sessionId: turn.sessionId, workspaceId, vaultIds };
  const events: NewEvent[] = [];
  for (const opened of await mcp.open(session, servers, turn.controller.signal)) {
    const failure = "failure" in opened ? opened.failure : tooManyTools(turn, opened);
    if (failure) events.push(...report(turn.mcp, opened.name, failure));
    else turn.mcp.links.set(opened.name, opened as McpLink);
  }
  offer(turn, turn.mcp);
  return events;
}

/** Between two model requests: a server's list may have changed. */
export async function refreshMcp(turn: HeldTurn): Promise<void> {
  const { mcp } = turn;
  if (!mcp || mcp.links.size === 0) return;
  await Promise.all([...mcp.links.values()].map((link) => link.refresh(turn.controller.signal)));
  offer(turn, mcp);
}

/** One call, whatever becomes of it; with what the log shall say of the server. */
export async function runMcpTool(
  deps: McpDeps,
  turn: HeldTurn,
  call: ToolCall,
): Promise<{ result: ToolResult; events: NewEvent[] }> {
  const server = call.mcpServer ?? "";
  const link = turn.mcp?.links.get(server);
  if (!link || !turn.mcp)
    return { result: failed(`The MCP server "${server}" is not connected; the tool was not run.`), events: [] };
  try {
    const { content, isError } = await link.call(call.name, call.input, turn.controller.signal);
    return { result: { content: await fit(deps, turn, call.id, content), isError }, events: [] };
  } catch (error) {
    if (!(error instanceof McpFailure)) throw error;
    const text = `The MCP server "${server}" did not give a result: ${error.message}. The call may or may not have taken effect.`;
    return { result: failed(text), events: turn.stopped ? [] : report(turn.mcp, server, error) };
  }
}

function failed(text: string): ToolResult {
  return { content: [{ type: "text", text }], isError: true };
}

/** Once a turn for each server (semantics §6). */
function report(mcp: TurnMcp, server: string, failure: McpFailure): NewEvent[] {
  if (mcp.reported.has(server)) return [];
  mcp.reported.add(server);
  const type = failure.kind === "authentication" ? "mcp_authentication_failed_error" : "mcp_connection_failed_error";
  const message = `The MCP server "${server}" cannot be used: ${failure.message}. It is tried again when the session next runs.`;
  return [errorEvent({ type, mcp_server_name: server, message, retry_status: { type: "retrying" } })];
}

function tooManyTools(turn: HeldTurn, link: McpLink): McpFailure | null {
  const toolset = turn.tools.find((tool) => tool.type === "mcp_toolset" && tool.mcp_server_name === link.name);
  if (toolset?.type !== "mcp_toolset") return null;
  const count = link.tools.filter(({ name }) => mcpPolicy(toolset, name).enabled).length;
  if (count <= MCP_TOOLS_MAX) return null;
  const advice = "enable fewer with the configs of its toolset";
  return new McpFailure("connection", `${count} of its tools are enabled, and at most ${MCP_TOOLS_MAX} can be; ${advice}`);
}

/** What the model is told of, and how its names lead back. Of two tools with one name the first stands. */
function offer(turn: HeldTurn, mcp: TurnMcp): void {
  const taken = new Set<string>();
  mcp.definitions = [];
  turn.tools = turn.tools.map((toolset) => {
    if (toolset.type !== "mcp_toolset") return toolset;
    const { offered: _, ...configured } = toolset;
    const link = mcp.links.get(toolset.mcp_server_name);
    if (!link) return configured;
    const offered = new Map<string, string>();
    const definitions: ToolDefinition[] = [];
    for (const { name: tool, description, inputSchema } of link.tools) {
      const name = mcpToolName(toolset.mcp_server_name, tool);
      if (taken.has(name)) continue;
      taken.add(name);
      offered.set(name, tool);
      if (mcpPolicy(toolset, tool).enabled) definitions.push({ name, description, inputSchema });
    }
    mcp.definitions.push(...definitions.slice(0, MCP_TOOLS_MAX));
    return { ...configured, offered };
  });
}

/** Of a result that is too long all the text goes into one file (semantics §7); what is no text stays. */
async function fit(deps: McpDeps, turn: HeldTurn, callId: string, content: ResultContent[]): Promise<ResultContent[]> {
  const texts = content.map(textOf);
  const whole = texts.filter((text) => text !== null).join("\n\n");
  const fitting = await deps.fitText(turn, callId, whole);
  if (fitting === whole) return content;
  return [{ type: "text", text: fitting }, ...content.filter((_, index) => texts[index] === null)];
}
