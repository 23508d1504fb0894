import { createGate, hold, say, until } from "@sandbox0/testkit";
import { BASH, type BenchServer, runTurn, SAY } from "../bench-server.ts";
import type { EventStream } from "../event-stream.ts";
import { type Figure, times, value } from "../figure.ts";
import type { HttpConnection } from "../http-connection.ts";
import { createSessions } from "../load.ts";
import type { RunContext } from "../run-context.ts";

const WITH_BASH = 50;
const ROUNDS_AGAIN = 4;
const AT_ONCE = 500;
const KIB_A_MB = 1000 ** 2 / 1024;
const RSS_SAMPLE_MS = 50;

interface OpenSession {
  id: string;
  connection: HttpConnection;
  stream: EventStream;
}

async function openSessions(server: BenchServer, count: number): Promise<OpenSession[]> {
  const ids = await createSessions(server, count);
  return Promise.all(ids.map(async (id) => ({ id, connection: await server.connect(), stream: await server.stream(id) })));
}

function close(sessions: readonly OpenSession[]): void {
  for (const { connection, stream } of sessions) {
    connection.close();
    stream.close();
  }
}

/** A turn of each at the same time; every one must end well. */
async function turnOfEach(sessions: readonly OpenSession[], text: string): Promise<{ samples: number[]; seconds: number }> {
  const startedAt = performance.now();
  const samples = await Promise.all(sessions.map(({ connection, stream, id }) => runTurn(connection, stream, id, text)));
  return { samples, seconds: (performance.now() - startedAt) / 1000 };
}

/** 50 sessions, a turn with one `bash` call each: first in sandboxes that must be made, then in those they have. */
export async function manyWithBash({ server: start, direct }: RunContext): Promise<Figure[]> {
  const server = await start();
  const sessions = await openSessions(server, WITH_BASH);
  const fresh = await turnOfEach(sessions, BASH);
  const again = { samples: [] as number[], seconds: 0 };
  for (let round = 0; round < ROUNDS_AGAIN; round++) {
    const { samples, seconds } = await turnOfEach(sessions, BASH);
    again.samples.push(...samples);
    again.seconds += seconds;
  }
  close(sessions);
  const calls = { name: "direct", samples: (await direct()).whole };
  const rate = { valueMin: 60 };
  return [
    value(`${WITH_BASH} bash turns at once, new sandboxes`, WITH_BASH / fresh.seconds, "turns/s", WITH_BASH, rate),
    times("  each of them", fresh.samples, {}, calls),
    value(
      `${WITH_BASH} bash turns at once, their sandboxes`,
      again.samples.length / again.seconds,
      "turns/s",
      again.samples.length,
      rate,
    ),
    times("  each of them", again.samples, {}, calls),
  ];
}

/** 500 sessions that all wait for their model at the same moment, in a fresh server. */
export async function manyAtOnce({ start, provider, direct }: RunContext): Promise<Figure[]> {
  const { server } = await start();
  const sessions = await openSessions(server, AT_ONCE);
  const atRest = await server.rssKib();
  let most = atRest;
  const sampling = setInterval(() => {
    void server.rssKib().then((kib) => {
      most = Math.max(most, kib);
    });
  }, RSS_SAMPLE_MS);
  const gate = createGate();
  let asked = 0;
  const off = provider.onRequest(() => {
    asked += 1;
    return [hold(gate), say("All of them ran at the same time.")];
  });
  try {
    const startedAt = performance.now();
    const turns = turnOfEach(sessions, SAY);
    await Promise.race([until(() => asked === AT_ONCE), turns]);
    const allRan = performance.now() - startedAt;
    gate.open();
    const { samples } = await turns;
    return [
      value(`RSS, ${AT_ONCE} turns at once`, most / KIB_A_MB, "MB", AT_ONCE, { valueMax: 500 }),
      value("  at rest before", atRest / KIB_A_MB, "MB", 1, {}),
      value(`  until all ${AT_ONCE} ran`, allRan, "ms", AT_ONCE, {}),
      times("  each of them", samples, {}, { name: "direct", samples: (await direct()).whole }),
    ];
  } finally {
    gate.open();
    off();
    clearInterval(sampling);
    close(sessions);
    await server.stop();
  }
}
