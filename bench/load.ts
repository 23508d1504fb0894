import type { BenchServer } from "./bench-server.ts";
import type { HttpConnection } from "./http-connection.ts";

/** Connections of the benches that only prepare something. */
const PREPARING_CONNECTIONS = 16;

export interface Load {
  /** Milliseconds of each operation. */
  samples: number[];
  perSecond: number;
}

/** Closed loop: `clients` do `operation` again and again for `forMs`, each the next when the last is done. */
export async function closedLoop(clients: number, forMs: number, operation: (client: number) => Promise<unknown>): Promise<Load> {
  const samples: number[] = [];
  const startedAt = performance.now();
  const client = async (index: number): Promise<void> => {
    for (let at = performance.now(); at - startedAt < forMs; at = performance.now()) {
      await operation(index);
      samples.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, index) => client(index)));
  return { samples, perSecond: (samples.length * 1000) / (performance.now() - startedAt) };
}

/** Open loop: an operation every `everyMs`, whether the last one is done or not, as independent users do. */
export async function openLoop(everyMs: number, forMs: number, operation: (index: number) => Promise<unknown>): Promise<Load> {
  const samples: number[] = [];
  const running: Promise<void>[] = [];
  const startedAt = performance.now();
  const run = async (index: number): Promise<void> => {
    // From when it was due: a loop that is late does not make the figure better.
    const dueAt = startedAt + index * everyMs;
    await operation(index);
    samples.push(performance.now() - dueAt);
  };
  for (let index = 0; index * everyMs < forMs; ) {
    while (index * everyMs <= performance.now() - startedAt) running.push(run(index++));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(running);
  return { samples, perSecond: (samples.length * 1000) / (performance.now() - startedAt) };
}

/** Does `work` for each item over a few connections; results in the order of the items. */
export async function overConnections<Item, Result>(
  server: BenchServer,
  items: readonly Item[],
  work: (connection: HttpConnection, item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    const connection = await server.connect();
    for (let index = next++; index < items.length; index = next++) results[index] = await work(connection, items[index] as Item);
    connection.close();
  };
  await Promise.all(Array.from({ length: Math.min(PREPARING_CONNECTIONS, items.length) }, lane));
  return results;
}

export async function createSessions(server: BenchServer, count: number): Promise<string[]> {
  return overConnections(server, Array.from({ length: count }), (connection) => server.createSession(connection));
}
