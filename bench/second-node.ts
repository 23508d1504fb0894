import { createBells } from "../packages/server/src/log/bells.ts";
import { createEventLog } from "../packages/server/src/log/event-log.ts";
import { newEvent } from "../packages/server/src/domain/lifecycle-events.ts";
import { startEmbeddedPostgres } from "../packages/server/src/main/embedded-postgres.ts";
import { createNotifier } from "../packages/server/src/store/notify.ts";
import { createPool, type Database } from "../packages/server/src/store/pool.ts";

/** As in a server (`main/serve.ts`). */
const CONNECTIONS_MAX = 32;
const MESSAGE =
  "An agent's message of about a hundred and twenty characters, such as most of the durable events of a session are.";

/** The log as another node of the installation writes to it: the same code, pool, database and notifications. */
export interface SecondNode {
  readonly db: Database;
  readonly connectionString: string;
  /** Appends `count` messages in one commit; resolves when they are durable, with the last one's seq. */
  append(sessionId: string, count: number): Promise<number>;
  close(): Promise<void>;
}

/** Joins the embedded Postgres that a server runs in `dataDir`. */
export async function startSecondNode(dataDir: string): Promise<SecondNode> {
  const postgres = await startEmbeddedPostgres({ dataDir });
  const { connectionString } = postgres;
  const onError = (error: unknown): void => console.error("the second node's connection", error);
  const db = createPool({
    connectionString,
    max: CONNECTIONS_MAX,
    applicationName: "sandbox0 bench",
    onConnectionError: onError,
  });
  const notifier = createNotifier({ connectionString, onError });
  await notifier.ready;
  const log = createEventLog(db, createBells(notifier));
  return {
    db,
    connectionString,
    async append(sessionId, count) {
      const events = Array.from({ length: count }, () =>
        newEvent("agent.message", { content: [{ type: "text", text: MESSAGE }] }),
      );
      return (await log.append({ sessionId, threadId: "sthr_bench", generation: null, events })).seq;
    },
    async close() {
      await notifier.close();
      await db.close();
      await postgres.stop();
    },
  };
}
