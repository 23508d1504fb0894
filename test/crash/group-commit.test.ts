import { until } from "@sandbox0/testkit";
import { expect, test } from "vitest";
import { newTag } from "./model.ts";
import { createPostgresProxy, type Passage, type PostgresProxy } from "./postgres-proxy.ts";
import { createStage, message, type Stage } from "./stage.ts";

/** As many groups as a server has under way (store/group-commit): while they are held, what comes next gathers. */
const GROUPS_AT_ONCE = 2;
const GATHERED = 6;

/** Of the transaction that several sessions share: where it is cut. */
const POINTS: Record<string, (passage: Passage, members: number) => boolean> = {
  "before the second session's write": ({ when, sql }, members) => when === "before" && isWrite(sql) && members === 2,
  "after the second session's write": ({ when, sql }, members) => when === "after" && isWrite(sql) && members >= 2,
  "before the commit": ({ when, sql }, members) => when === "before" && sql === "commit" && members >= 2,
  "after the commit": ({ when, sql }, members) => when === "after" && sql === "commit" && members >= 2,
};

test("a commit that several sessions share is cut by a SIGKILL, before and after", { timeout: 5 * 60_000 }, async () => {
  const stage = await createStage();
  const proxy = await createPostgresProxy(stage.database.connectionString);
  try {
    let server = await stage.startServer({ databaseUrl: proxy.connectionString });
    for (const isThere of Object.values(POINTS)) {
      const plays = await Promise.all(
        Array.from({ length: GROUPS_AT_ONCE + GATHERED }, async () => {
          const play = { tag: newTag(), sessionId: await stage.createSession(server) };
          const gate = stage.model.stopAt(play.tag, 1, "asked");
          await stage.send(server, play.sessionId, [message(`only talk [${play.tag}]`)]);
          await gate.reached;
          return play;
        }),
      );
      await gatherGroup(
        stage,
        proxy,
        plays.map(({ tag }) => tag),
        server.url,
      );
      await holdGroup(proxy, isThere);
      await server.kill();
      proxy.cut();
      server = await stage.startServer({ databaseUrl: proxy.connectionString });
      for (const { sessionId } of plays) {
        const record = await stage.untilRest(sessionId, () => server.output());
        expect(await stage.violations(record)).toEqual([]);
        expect(record.head.stopReason).toEqual({ type: "end_turn" });
      }
    }
  } finally {
    await stage.close();
    await proxy.close();
  }
});

/** Holds the first writes, so that the writes of all other sessions wait for the next group. */
async function gatherGroup(stage: Stage, proxy: PostgresProxy, tags: readonly string[], url: string): Promise<void> {
  let held = 0;
  const hold = (passage: Passage) => {
    if (passage.when === "after" || passage.transaction !== null || !isWrite(passage.sql)) return "pass";
    held += 1;
    return "hold";
  };
  proxy.watchers.add(hold);
  const answered = stage.model.answered();
  for (const tag of tags.slice(0, GROUPS_AT_ONCE)) {
    const before = held;
    stage.model.letGoOn(tag);
    await until(() => held > before, { describe: "a write to be held" });
  }
  for (const tag of tags.slice(GROUPS_AT_ONCE)) stage.model.letGoOn(tag);
  await until(() => stage.model.answered() - answered >= tags.length, { describe: "all answers to be sent" });
  // What arrived before these has been taken up when they are answered: the server has one thread.
  for (let i = 0; i < 3; i++) await fetch(`${url}/healthz`);
  proxy.watchers.delete(hold);
}

async function holdGroup(proxy: PostgresProxy, isThere: (passage: Passage, members: number) => boolean): Promise<void> {
  const reached = Promise.withResolvers<void>();
  const hold = (passage: Passage) => {
    if (passage.transaction === null || !isThere(passage, passage.transaction.sessionIds.size)) return "pass";
    reached.resolve();
    return "hold";
  };
  proxy.watchers.add(hold);
  proxy.resume();
  await reached.promise;
  proxy.watchers.delete(hold);
}

function isWrite(sql: string): boolean {
  return sql.startsWith("with head as");
}
