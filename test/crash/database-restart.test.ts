import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { until } from "@sandbox0/testkit";
import { expect, test } from "vitest";
import { createStage, message, type Stage } from "./stage.ts";

const SESSIONS = 6;
const RESTARTS = 3;

test("Postgres is killed in the middle of turns, and they go on when it is back", { timeout: 5 * 60_000 }, async () => {
  const stage = await createStage({ embedded: true });
  try {
    const server = await stage.startServer();
    const ids = await Promise.all(Array.from({ length: SESSIONS }, () => stage.createSession(server)));
    for (let restart = 0; restart < RESTARTS; restart++) {
      // Some may be cut off without an answer, and some sessions still be in a turn: both are fine.
      await Promise.allSettled(ids.map((id) => stage.send(server, id, [message("three effects")])));
      await killPostgres(stage);
    }
    for (const id of ids) {
      const record = await stage.untilRest(id, () => server.output());
      expect(await stage.violations(record)).toEqual([]);
      expect(record.events.length).toBeGreaterThan(0);
    }
  } finally {
    await stage.close();
  }
});

/** SIGQUIT: at once and without a checkpoint, as after a crash. */
async function killPostgres(stage: Stage): Promise<void> {
  const { rows } = await stage.db.query<{ started: Date }>("select pg_postmaster_start_time() as started");
  const pid = Number.parseInt(await readFile(join(stage.dataDir, "postgres/data/postmaster.pid"), "utf8"), 10);
  process.kill(pid, "SIGQUIT");
  const before = rows[0]?.started.getTime();
  await until(
    async () => {
      const again = await stage.db.query<{ started: Date }>("select pg_postmaster_start_time() as started");
      return again.rows[0]?.started.getTime() !== before;
    },
    { describe: "another postmaster" },
  );
}
