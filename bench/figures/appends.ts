import { type Figure, times, value } from "../figure.ts";
import { closedLoop, createSessions } from "../load.ts";
import type { RunContext } from "../run-context.ts";
import { startSecondNode } from "../second-node.ts";

const SINGLE_CLIENTS = 32;
const BATCH_CLIENTS = 8;
const BATCH_EVENTS = 100;
const FOR_MS = 4_000;
const WARM_UP_MS = 1_000;
const SEEN_SAMPLES = 500;
const COMMIT_SAMPLES = 500;

/** Durable events: single appends of many sessions, and batches; with a bare commit of the same database beside. */
export async function durableAppends({ server: start, dataDirOfServer }: RunContext): Promise<Figure[]> {
  const server = await start();
  const node = await startSecondNode(await dataDirOfServer());
  try {
    const sessions = await createSessions(server, SINGLE_CLIENTS);
    const session = (client: number): string => sessions[client] as string;
    await node.db.query("create table if not exists bench_commits (id text primary key, body text)");
    const commits: number[] = [];
    for (let n = 0; n < COMMIT_SAMPLES; n++) {
      const at = performance.now();
      await node.db.query("insert into bench_commits values ($1, $2)", [`${at} ${n}`, "x".repeat(200)], "bench_commit");
      commits.push(performance.now() - at);
    }
    await node.db.query("drop table bench_commits");
    await closedLoop(SINGLE_CLIENTS, WARM_UP_MS, (client) => node.append(session(client), 1));
    const single = await closedLoop(SINGLE_CLIENTS, FOR_MS, (client) => node.append(session(client), 1));
    await closedLoop(BATCH_CLIENTS, WARM_UP_MS, (client) => node.append(session(client), BATCH_EVENTS));
    const batch = await closedLoop(BATCH_CLIENTS, FOR_MS, (client) => node.append(session(client), BATCH_EVENTS));
    const alone = await closedLoop(1, WARM_UP_MS, () => node.append(session(0), 1));
    return [
      times("a bare durable insert, for scale", commits, {}),
      times("append, one client", alone.samples, {}, { name: "bare insert", samples: commits }),
      value(`durable appends, ${SINGLE_CLIENTS} clients`, single.perSecond, "/s", single.samples.length, { valueMin: 15_000 }),
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
