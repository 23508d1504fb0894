import type { TestProject } from "vitest/node";
import { serveTestPostgres } from "./test-postgres.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** See `TestPostgres.path`. */
    testPostgres: string;
  }
}

/**
 * The global setup of vitest behind `createTestDatabase`. TEST_DATABASE_URL: a superuser's connection to a Postgres to use
 * instead of the embedded one.
 */
export default async function postgresSetup(project: TestProject): Promise<() => Promise<void>> {
  const postgres = await serveTestPostgres({ connectionString: process.env.TEST_DATABASE_URL });
  project.provide("testPostgres", postgres.path);
  return () => postgres.close();
}
