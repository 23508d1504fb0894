import type { McpSdkServerConfigWithInstance } from "@anthropic-ai/claude-agent-sdk";
import type { CallToolResult } from "@modelcontextprotocol/sdk/types.js";
import type { ToolDefinition } from "../port.ts";
import type { ClaudeSdk } from "./load-sdk.ts";
import type { Block } from "./translate.ts";

export const TOOL_SERVER = "sandbox0";
/** Of one result: what the session's tools give is bounded before, and must reach the model whole. */
const RESULT_CHARS_MAX = 10_000_000;

/**
 * The session's tools for Claude Code: an MCP server in this process, reached over the program's stdio.
 * @param answer resolves with the `tool_result` of a call, by the provider's call id, when the log has it
 */
export function createToolServer(
  sdk: ClaudeSdk,
  tools: readonly ToolDefinition[],
  answer: (toolUseId: string) => Promise<Block>,
): McpSdkServerConfigWithInstance {
  const instance = new sdk.McpServer({ name: TOOL_SERVER, version: "1" }, { capabilities: { tools: {} } });
  const listed = tools.map(({ name, description, inputSchema }) => ({
    name,
    description,
    inputSchema: { ...inputSchema, type: "object" as const },
    // Whether a call may run beside others is the session's business: the program shall wait for none.
    annotations: { readOnlyHint: true },
    _meta: { "anthropic/alwaysLoad": true, "anthropic/maxResultSizeChars": RESULT_CHARS_MAX },
  }));
  instance.server.setRequestHandler(sdk.ListToolsRequestSchema, async () => ({ tools: listed }));
  instance.server.setRequestHandler(sdk.CallToolRequestSchema, async ({ params }) => {
    const id = params._meta?.["claudecode/toolUseId"];
    if (typeof id !== "string") throw new Error("the program does not say which call this is");
    return toMcpResult(await answer(id));
  });
  return { type: "sdk", name: TOOL_SERVER, instance };
}

/** MCP has texts and images in it; another block needs the conversation to be written anew. */
export function isSpeakable(result: Block): boolean {
  return (result.content as Block[]).every(
    (block) => block.type === "text" || (block.type === "image" && (block.source as { type: string }).type === "base64"),
  );
}

function toMcpResult(result: Block): CallToolResult {
  const content = (result.content as Block[]).map((block) => {
    if (block.type === "text") return { type: "text" as const, text: String(block.text) };
    const { data, media_type } = block.source as { data: string; media_type: string };
    return { type: "image" as const, data, mimeType: media_type };
  });
  return { content, isError: result.is_error === true };
}
