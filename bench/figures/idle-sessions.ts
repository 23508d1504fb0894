import { setTimeout as delay } from "node:timers/promises";
import { type BenchServer, startBenchServer } from "../bench-server.ts";
import { type Figure, times, value } from "../figure.ts";
import { createSessions, openLoop } from "../load.ts";
import type { RunContext } from "../run-context.ts";
import { startSecondNode } from "../second-node.ts";

const IDLE = 10_000;
const ACTIVE = 100;
/** Ten appends a second by each active session. */
const APPEND_EVERY_MS = 1;
const FOR_MS = 5_000;
const BYTES_A_KIB = 1024;
/** The budget is nothing; this is what two fresh servers differ by. */
const RSS_NOISE_BYTES = 10 * 1024 ** 2;
/** A fresh server still loads what it does not need to listen: its memory counts when it has not moved for this long. */
const SETTLED_MS = 3_000;
const SETTLED_KIB = 1024;
const LOOK_MS = 250;

interface Measured {
  rssKib: number;
  samples: number[];
}

/**
 * The same load, 100 sessions that are followed and append, on a server with no other session and on one with 10,000 idle
 * ones. Both are restarted before and have done nothing yet, so that the difference in memory is what idle sessions take,
 * give or take the few MiB by which two processes differ.
 */
export async function idleSessions({ start, provider }: RunContext): Promise<Figure[]> {
  const measured: Measured[] = [];
  for (const idle of [0, IDLE]) {
    const { server, dataDir } = await start();
    await createSessions(server, idle);
    await server.stop();
    const again = await startBenchServer(dataDir, provider);
    try {
      measured.push(await measure(again, dataDir));
    } finally {
      await again.stop();
    }
  }
  const [alone, beside] = measured as [Measured, Measured];
  const without = { name: "without", samples: alone.samples };
  const perSession = ((beside.rssKib - alone.rssKib) * BYTES_A_KIB) / IDLE;
  return [
    times(`append, ${ACTIVE} active beside ${IDLE} idle`, beside.samples, { p99Max: 20 }, without),
    times("  without idle sessions", alone.samples, {}),
    value("an idle session", perSession, "bytes", IDLE, { valueMax: RSS_NOISE_BYTES / IDLE }),
    value("  RSS with idle sessions", beside.rssKib / BYTES_A_KIB, "MiB", 1, {}),
    value("  RSS without", alone.rssKib / BYTES_A_KIB, "MiB", 1, {}),
  ];
}

async function settledRss(server: BenchServer): Promise<number> {
  let rssKib = await server.rssKib();
  for (let quietMs = 0; quietMs < SETTLED_MS; quietMs += LOOK_MS) {
    await delay(LOOK_MS);
    const now = await server.rssKib();
    if (Math.abs(now - rssKib) < SETTLED_KIB) continue;
    rssKib = now;
    quietMs = 0;
  }
  return rssKib;
}

async function measure(server: BenchServer, dataDir: string): Promise<Measured> {
  const rssKib = await settledRss(server);
  const node = await startSecondNode(dataDir);
  try {
    const sessions = await createSessions(server, ACTIVE);
    const streams = await Promise.all(sessions.map((id) => server.stream(id)));
    const { samples } = await openLoop(APPEND_EVERY_MS, FOR_MS, (index) => node.append(sessions[index % ACTIVE] as string, 1));
    for (const stream of streams) stream.close();
    return { rssKib, samples };
  } finally {
    await node.close();
  }
}
