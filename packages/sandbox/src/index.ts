export type * from "./port.ts";
export { SandboxError } from "./port.ts";
export { EGRESS_PORT, HARNESS_PROGRAMS_DIR, NODE_PATH, SKILLS_DIR } from "./layout.ts";
export { createBubblewrapDriver, type BubblewrapOptions } from "./bubblewrap/driver.ts";
export { imageArchitecture } from "./bubblewrap/image/run-unpacker.ts";
export {
  createSandboxPool,
  DEFAULT_LIMITS,
  POOL_DEFAULTS,
  type ClaimedSandbox,
  type Equip,
  type PoolOptions,
  type PoolStats,
  type SandboxPool,
} from "./pool.ts";
export type { BorrowedSandbox } from "./borrowed-sandboxes.ts";
export { ToolClient, type CallOptions, type ToolResult } from "./tool-server/tool-client.ts";
export { cutText, RESULT_CHARS_MAX } from "./tool-server/result-text.ts";
export { BUILT_IN_TOOLS, type BuiltInTool } from "./tool-server/tool-definitions.ts";
export { removeTree } from "./remove-tree.ts";
export type { SandboxProgram } from "./programs.ts";
export { createProcessDriver } from "./process/driver.ts";
