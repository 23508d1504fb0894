export * from "./scripted-provider/index.ts";
export { createTestDatabase, type TestDatabase } from "./database.ts";
export { until, type UntilOptions } from "./until.ts";
export * from "./mcp-server/index.ts";
