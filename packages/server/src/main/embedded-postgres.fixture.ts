import { startEmbeddedPostgres } from "./embedded-postgres.ts";

/**
 * A server as far as its database goes, to be killed: `node embedded-postgres.fixture.ts <dataDir> [abandonedAfterSeconds]`.
 * Prints one line of JSON when Postgres is up, and stops it on SIGTERM.
 */
const [, , dataDir = "", abandonedAfterSeconds = "30"] = process.argv;
const asked = new Promise((resolve) => {
  process.once("SIGTERM", resolve);
  // The end of the test's pipe: without a parent there is nobody to stop it.
  process.stdin.once("end", resolve).resume();
});
const postgres = await startEmbeddedPostgres({ dataDir, abandonedAfterSeconds: Number(abandonedAfterSeconds) });
process.stdout.write(`${JSON.stringify({ connectionString: postgres.connectionString })}\n`);
await asked;
await postgres.stop();
process.stdin.destroy();
