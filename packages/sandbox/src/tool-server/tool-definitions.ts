/** A built-in tool as the model is told of it. */
export interface BuiltInTool {
  name: "bash" | "read" | "write" | "edit" | "glob" | "grep";
  description: string;
  inputSchema: {
    type: "object";
    properties: Record<
      string,
      { type: "string" | "boolean" | "integer" | "array"; description?: string; items?: { type: "integer" } }
    >;
    required?: string[];
  };
}

/**
 * The six sandbox tools of `agent_toolset_20260401`, word for word as the SDK declares them; a test holds them against
 * it. Written down here because importing the SDK's toolset costs a server 200 ms at its start.
 */
export const BUILT_IN_TOOLS: readonly BuiltInTool[] = [
  {
    name: "bash",
    description: "Run a bash command in a persistent shell. State (cwd, env vars) persists across calls.",
    inputSchema: {
      type: "object",
      properties: {
        command: { type: "string", description: "The command to run" },
        restart: { type: "boolean", description: "Restart the persistent shell before running" },
        timeout_ms: { type: "integer", description: "Per-call timeout in milliseconds" },
      },
    },
  },
  {
    name: "read",
    description: "Read a UTF-8 text file relative to the workdir.",
    inputSchema: {
      type: "object",
      properties: {
        file_path: { type: "string" },
        view_range: { type: "array", items: { type: "integer" }, description: "[start_line, end_line] 1-indexed inclusive" },
      },
      required: ["file_path"],
    },
  },
  {
    name: "write",
    description: "Write a UTF-8 text file relative to the workdir, creating parent directories as needed.",
    inputSchema: {
      type: "object",
      properties: { file_path: { type: "string" }, content: { type: "string" } },
      required: ["file_path", "content"],
    },
  },
  {
    name: "edit",
    description: "Replace old_string with new_string in a file. old_string must be unique unless replace_all.",
    inputSchema: {
      type: "object",
      properties: {
        file_path: { type: "string" },
        old_string: { type: "string" },
        new_string: { type: "string" },
        replace_all: { type: "boolean" },
      },
      required: ["file_path", "old_string", "new_string"],
    },
  },
  {
    name: "glob",
    description: "Match files under the workdir against a glob pattern. Results are mtime-sorted, newest first.",
    inputSchema: {
      type: "object",
      properties: {
        pattern: { type: "string" },
        path: { type: "string", description: "Directory to search in. Defaults to the workdir." },
      },
      required: ["pattern"],
    },
  },
  {
    name: "grep",
    description: "Search file contents for a regex. Uses ripgrep if available, otherwise a built-in walker.",
    inputSchema: {
      type: "object",
      properties: { pattern: { type: "string" }, path: { type: "string" } },
      required: ["pattern"],
    },
  },
];
