import { defineConfig } from "vitest/config";

/** Soaks and repetitions may run for minutes; this only stops one that hangs. */
const TIMEOUT_MS = 30 * 60_000;

/** `make test-extra`: proof that takes too long for every run. */
export default defineConfig({
  test: {
    reporters: ["default", "./scripts/count-reporter.ts"],
    // One Postgres for the whole run, started when the first test file asks for a database.
    globalSetup: ["./packages/testkit/src/postgres-setup.ts"],
    include: ["{packages,apps,test,bench}/**/*.extra.test.ts"],
    exclude: ["**/node_modules/**"],
    environment: "node",
    pool: "forks",
    maxWorkers: 1,
    testTimeout: TIMEOUT_MS,
    hookTimeout: TIMEOUT_MS,
  },
});
