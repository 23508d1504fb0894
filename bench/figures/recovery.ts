import { createGate, hold, say } from "@sandbox0/testkit";
import { SAY, sendMessage, startBenchServer } from "../bench-server.ts";
import { type Figure, times } from "../figure.ts";
import type { RunContext } from "../run-context.ts";

const KILLS = 5;

/** SIGKILL while the model answers, a restart, and the session asks the model again and comes to its end. */
export async function recovery({ directory, provider }: RunContext): Promise<Figure[]> {
  const dataDir = await directory();
  let server = await startBenchServer(dataDir, provider);
  const sinceReady: number[] = [];
  const sinceKill: number[] = [];
  for (let kill = 0; kill < KILLS; kill++) {
    const gate = createGate();
    const asked = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let requests = 0;
    const off = provider.onRequest(() => {
      asked[requests++]?.resolve();
      return [hold(gate), say("It went on.")];
    });
    const connection = await server.connect();
    const sessionId = await server.createSession(connection);
    await sendMessage(connection, sessionId, SAY);
    await asked[0]?.promise;
    connection.close();
    const killedAt = performance.now();
    await server.process.kill();
    server = await startBenchServer(dataDir, provider);
    const readyAt = performance.now();
    const stream = await server.stream(sessionId);
    await asked[1]?.promise;
    sinceReady.push(Math.max(0, performance.now() - readyAt));
    sinceKill.push(performance.now() - killedAt);
    const idle = stream.seen(({ type }) => type === "session.status_idle");
    gate.open();
    await idle;
    stream.close();
    off();
  }
  await server.stop();
  return [
    times("killed session goes on, after restart", sinceReady, { p50Max: 2000 }),
    times("  from the kill, restart included", sinceKill, {}),
  ];
}
