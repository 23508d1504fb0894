import pg from "pg";
import { type Figure, rate, times, value } from "../figure.ts";
import { closedLoop, createSessions, type Load } from "../load.ts";
import type { RunContext } from "../run-context.ts";
import { startSecondNode } from "../second-node.ts";

const SINGLE_CLIENTS = 32;
const BATCH_CLIENTS = 8;
const BATCH_EVENTS = 100;
const FOR_MS = 4_000;
const WARM_UP_MS = 1_000;
const SEEN_SAMPLES = 500;

/** Durable events: single appends of many sessions, and batches; with a bare commit of the same database beside. */
export async function durableAppends({ server: start, dataDirOfServer }: RunContext): Promise<Figure[]> {
  const server = await start();
  const node = await startSecondNode(await dataDirOfServer());
  try {
    const sessions = await createSessions(server, SINGLE_CLIENTS);
    const session = (client: number): string => sessions[client] as string;
    const bare = await bareInserts(node.connectionString);
    await closedLoop(SINGLE_CLIENTS, WARM_UP_MS, (client) => node.append(session(client), 1));
    const single = await closedLoop(SINGLE_CLIENTS, FOR_MS, (client) => node.append(session(client), 1));
    await closedLoop(BATCH_CLIENTS, WARM_UP_MS, (client) => node.append(session(client), BATCH_EVENTS));
    const batch = await closedLoop(BATCH_CLIENTS, FOR_MS, (client) => node.append(session(client), BATCH_EVENTS));
    const alone = await closedLoop(1, WARM_UP_MS, () => node.append(session(0), 1));
    return [
      times("a bare durable insert, for scale", bare.one.samples, {}),
      value(`bare durable inserts, ${SINGLE_CLIENTS} clients`, bare.many.perSecond, "/s", bare.many.samples.length, {}),
      times("append, one client", alone.samples, {}, { name: "bare insert", samples: bare.one.samples }),
      rate(
        `durable appends, ${SINGLE_CLIENTS} clients`,
        single.perSecond,
        single.samples.length,
        { valueMin: 15_000 },
        {
          name: "bare inserts",
          perSecond: bare.many.perSecond,
        },
      ),
      value(
        `durable events, batches of ${BATCH_EVENTS}`,
        batch.perSecond * BATCH_EVENTS,
        "/s",
        batch.samples.length * BATCH_EVENTS,
        { valueMin: 60_000 },
      ),
    ];
  } finally {
    await node.close();
  }
}

/** One row a commit, on plain connections to the same database: what this machine can do at most without groups. */
async function bareInserts(connectionString: string): Promise<{ one: Load; many: Load }> {
  const clients = Array.from({ length: SINGLE_CLIENTS }, () => new pg.Client({ connectionString }));
  await Promise.all(clients.map((client) => client.connect()));
  const [first] = clients as [pg.Client];
  let n = 0;
  const insert = (client: number) =>
    (clients[client] as pg.Client).query({
      name: "bench_commit",
      text: "insert into bench_commits values ($1, $2)",
      values: [n++, "x".repeat(200)],
    });
  try {
    await first.query("create table bench_commits (id bigint primary key, body text)");
    const one = await closedLoop(1, WARM_UP_MS, insert);
    await closedLoop(SINGLE_CLIENTS, WARM_UP_MS, insert);
    const many = await closedLoop(SINGLE_CLIENTS, FOR_MS, insert);
    await first.query("drop table bench_commits");
    return { one, many };
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}

/** From the durable append of one node until a stream of another node has the event. */
export async function appendToStream({ server: start, dataDirOfServer }: RunContext): Promise<Figure[]> {
  const server = await start();
  const node = await startSecondNode(await dataDirOfServer());
  const [sessionId = ""] = await createSessions(server, 1);
  const stream = await server.stream(sessionId);
  try {
    const sinceCall: number[] = [];
    const sinceCommit: number[] = [];
    for (let n = 0; n < SEEN_SAMPLES; n++) {
      stream.clear();
      const calledAt = performance.now();
      const seen = stream.seen(({ type }) => type === "agent.message");
      await node.append(sessionId, 1);
      const committedAt = performance.now();
      const seenAt = await seen;
      sinceCall.push(seenAt - calledAt);
      sinceCommit.push(Math.max(0, seenAt - committedAt));
    }
    return [
      times("append to stream, from the commit", sinceCommit, { p50Max: 2, p99Max: 10 }),
      times("append to stream, from the call", sinceCall, {}),
    ];
  } finally {
    stream.close();
    await node.close();
  }
}
