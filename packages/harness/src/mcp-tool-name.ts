import { createHash } from "node:crypto";

/** What every provider takes as a tool's name. */
export const TOOL_NAME_CHARS_MAX = 64;
const PREFIX = "mcp__";
const HASH_CHARS = 10;
/** Of each name, when both cannot stand as they are. */
const PART_CHARS_MAX = 22;

/** No double underscore and none at an end: then the first one behind the prefix is the border, and no two pairs meet. */
const PLAIN_SERVER = /^[A-Za-z0-9-]+(?:_[A-Za-z0-9-]+)*$/;
const PLAIN_TOOL = /^[A-Za-z0-9_-]+$/;

/**
 * The name by which models know a tool of an MCP server: `mcp__<server>__<tool>`. Names that providers would refuse, or
 * that could be read in two ways, are made legal and get a hash. The same pair always has the same name: a conversation
 * of last month is replayed under it.
 */
export function mcpToolName(server: string, tool: string): string {
  const plain = `${PREFIX}${server}__${tool}`;
  if (PLAIN_SERVER.test(server) && PLAIN_TOOL.test(tool) && plain.length <= TOOL_NAME_CHARS_MAX) return plain;
  const hash = createHash("sha256")
    .update(JSON.stringify([server, tool]))
    .digest("hex")
    .slice(0, HASH_CHARS);
  return `${PREFIX}${legal(server)}__${legal(tool)}_${hash}`;
}

function legal(name: string): string {
  return name.replace(/[^A-Za-z0-9_-]/g, "_").slice(0, PART_CHARS_MAX);
}
