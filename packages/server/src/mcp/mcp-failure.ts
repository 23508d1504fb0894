import { MCP_REPLY_BYTES_MAX } from "./limits.ts";

/**
 * Why an MCP server cannot be used. The message is ours and has nothing of what the server, its redirects or its errors
 * say: they may repeat the secret that they were sent.
 */
export class McpFailure extends Error {
  readonly kind: "connection" | "authentication";
  constructor(kind: McpFailure["kind"], message: string) {
    super(message);
    this.name = "McpFailure";
    this.kind = kind;
  }
}

/** The server has forgotten this MCP session: nothing was run, and a new session may try. */
export class SessionUnknown extends McpFailure {
  constructor() {
    super("connection", "the server no longer knows this MCP session");
    this.name = "SessionUnknown";
  }
}

export const tooLarge = (): McpFailure =>
  new McpFailure("connection", `it sent a reply of more than ${MCP_REPLY_BYTES_MAX / (1024 * 1024)} MiB`);
