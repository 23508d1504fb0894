export type * from "./port.ts";
export { TurnStopped } from "./port.ts";
export { mcpToolName } from "./mcp-tool-name.ts";
export { createSandpi, type Sandpi, type SandpiOptions } from "./sandpi/sandpi.ts";
export { createClaude, type Claude, type ClaudeOptions } from "./claude/claude.ts";
export { findClaudeProgram } from "./claude/find-claude-program.ts";
export { CompletionFailed, type TextQuestion } from "./sandpi/complete-text.ts";
export { createCodex, type Codex, type CodexOptions } from "./codex/codex.ts";
export { findCodexProgram } from "./codex/find-codex-program.ts";
