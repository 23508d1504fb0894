export { HARNESS_CASES, harnessMatrix, isFor, runHarnessCase } from "./conformance.ts";
export type { CaseContext, HarnessCase } from "./harness-case.ts";
export { openSandboxStage, type SandboxStage } from "./sandbox-stage.ts";
export type { EffectName, TestTool } from "./test-effects.ts";
export { createTestSession, type TestSession, type TestSessionOptions, textResult } from "./test-session.ts";
export { VENDOR_LIMITS } from "./vendor-limits.ts";
