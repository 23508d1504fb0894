export { type CaseContext, HARNESS_CASES, type HarnessCase, harnessMatrix, runHarnessCase } from "./conformance.ts";
export type { EffectName, TestTool } from "./test-effects.ts";
export { createTestSession, type TestSession, type TestSessionOptions, textResult } from "./test-session.ts";
