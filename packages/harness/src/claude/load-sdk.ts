/** What the harness uses of the Agent SDK and of MCP; optional packages, loaded when a session needs them. */
export interface ClaudeSdk {
  query: typeof import("@anthropic-ai/claude-agent-sdk")["query"];
  McpServer: typeof import("@modelcontextprotocol/sdk/server/mcp.js")["McpServer"];
  ListToolsRequestSchema: typeof import("@modelcontextprotocol/sdk/types.js")["ListToolsRequestSchema"];
  CallToolRequestSchema: typeof import("@modelcontextprotocol/sdk/types.js")["CallToolRequestSchema"];
}

export async function loadClaudeSdk(): Promise<ClaudeSdk> {
  const [{ query }, { McpServer }, { ListToolsRequestSchema, CallToolRequestSchema }] = await Promise.all([
    import("@anthropic-ai/claude-agent-sdk"),
    import("@modelcontextprotocol/sdk/server/mcp.js"),
    import("@modelcontextprotocol/sdk/types.js"),
  ]);
  return { query, McpServer, ListToolsRequestSchema, CallToolRequestSchema };
}
