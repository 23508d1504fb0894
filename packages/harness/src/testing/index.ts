export { createTestSession, type TestSession, type TestSessionOptions, type TestTool, textResult } from "./test-session.ts";
