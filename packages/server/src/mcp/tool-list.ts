import type { Client, Tool } from "@modelcontextprotocol/client";
import {
  MCP_DESCRIPTION_CHARS_MAX,
  MCP_LIST_MS,
  MCP_PAGES_MAX,
  MCP_SCHEMA_CHARS_MAX,
  MCP_TOOL_LIST_CHARS_MAX,
  MCP_TOOL_NAME_CHARS_MAX,
  MCP_TOOLS_LISTED_MAX,
} from "./limits.ts";
import { McpFailure } from "./mcp-failure.ts";

/** A tool of an MCP server, in a form that every model provider takes. */
export interface McpTool {
  /** As the server calls it. */
  name: string;
  description: string;
  inputSchema: Record<string, unknown>;
}

/**
 * All pages. The first of two tools with one name stands.
 * @throws McpFailure for a list that does not end
 */
export async function listTools(client: Client, redact: (text: string) => string, signal: AbortSignal): Promise<McpTool[]> {
  const tools = new Map<string, McpTool>();
  let chars = 0;
  let cursor: string | undefined;
  if (!client.getServerCapabilities()?.tools) return [];
  for (let page = 0; page < MCP_PAGES_MAX; page++) {
    // Not `client.listTools`: it keeps whole lists in a cache, and checks results by schemas of the server's making.
    const request = { method: "tools/list", params: cursor === undefined ? {} : { cursor } } as const;
    const answer = await client.request(request, { signal, timeout: MCP_LIST_MS });
    for (const tool of answer.tools) {
      if (tool.name === "" || tool.name.length > MCP_TOOL_NAME_CHARS_MAX || tools.has(tool.name)) continue;
      const usable = usableTool(tool, redact);
      chars += usable.description.length + JSON.stringify(usable.inputSchema).length;
      if (tools.size === MCP_TOOLS_LISTED_MAX || chars > MCP_TOOL_LIST_CHARS_MAX)
        throw new McpFailure(
          "connection",
          `it lists more than ${MCP_TOOLS_LISTED_MAX} tools or ${MCP_TOOL_LIST_CHARS_MAX} characters`,
        );
      tools.set(tool.name, usable);
    }
    cursor = answer.nextCursor;
    if (cursor === undefined || cursor === "") return [...tools.values()];
  }
  throw new McpFailure("connection", `its tool list has more than ${MCP_PAGES_MAX} pages`);
}

function usableTool(tool: Tool, redact: (text: string) => string): McpTool {
  const described = tool.description?.trim() || tool.title?.trim() || `The tool "${tool.name}".`;
  const schema = usableSchema(tool.inputSchema, redact);
  return { name: tool.name, description: cut(redact(described)), inputSchema: schema };
}

function cut(text: string): string {
  return text.length <= MCP_DESCRIPTION_CHARS_MAX ? text : `${text.slice(0, MCP_DESCRIPTION_CHARS_MAX)} [cut]`;
}

const PROPERTY_NAME = /^[A-Za-z0-9_.-]{1,64}$/;
/** What providers refuse at the top of an input schema. */
const REFUSED_AT_TOP = ["oneOf", "anyOf", "allOf", "not", "enum", "if", "then", "else", "$schema", "$id"];

/** One schema that a provider refuses would fail every request of the session: what cannot stand is left open. */
function usableSchema(given: Tool["inputSchema"], redact: (text: string) => string): Record<string, unknown> {
  const open = { type: "object", properties: {} };
  const json = redact(JSON.stringify(given));
  if (json.length > MCP_SCHEMA_CHARS_MAX) return open;
  const schema = JSON.parse(json) as Record<string, unknown>;
  for (const key of REFUSED_AT_TOP) delete schema[key];
  const { properties = {} } = schema;
  schema.properties = properties;
  if (typeof properties !== "object" || properties === null || Array.isArray(properties)) return open;
  return Object.keys(properties).every((name) => PROPERTY_NAME.test(name)) ? schema : open;
}
