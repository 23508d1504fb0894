import type { CallToolResult } from "@modelcontextprotocol/sdk/types.js";

/** What a scripted tool may do while it runs. */
export interface CallContext {
  /** Aborts when the client cancels. */
  signal: AbortSignal;
  /** Sends `notifications/progress`, if the client asked for it. */
  progress(done: number): Promise<void>;
}

export interface ScriptedTool {
  name: string;
  description?: string;
  inputSchema?: { type: "object"; [key: string]: unknown };
  /** Default: the input, as text. */
  run?(input: Record<string, unknown>, context: CallContext): CallToolResult | Promise<CallToolResult>;
}

/** Instead of an answer. `hang`: none at all; `cut`: the socket is closed in the middle of one. */
export type Misbehaviour =
  | { type: "hang" }
  | { type: "cut" }
  | { type: "html" }
  | { type: "broken_json" }
  | { type: "not_mcp" }
  | { type: "redirect"; to: string }
  | { type: "status"; status: number; body?: string }
  /** As JSON, or as one event of a stream. */
  | { type: "huge"; bytes: number; as: "json" | "event" }
  /** Repeats the request's headers in a 400. */
  | { type: "echo_headers" };

/** One HTTP request that came in, whatever became of it. */
export interface SeenRequest {
  httpMethod: string;
  path: string;
  /** Of the JSON-RPC message in its body. */
  rpcMethod: string | null;
  authorization: string | null;
  sessionId: string | null;
  body: string;
}

export const textResult = (text: string, isError = false): CallToolResult => ({ content: [{ type: "text", text }], isError });
