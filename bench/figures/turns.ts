import { setTimeout as delay } from "node:timers/promises";
import { createGate, hold, say, type ScriptedProvider } from "@sandbox0/testkit";
import { BASH, type BenchServer, runTurn, SAY, sendMessage } from "../bench-server.ts";
import type { EventStream } from "../event-stream.ts";
import { type Figure, times } from "../figure.ts";
import type { HttpConnection } from "../http-connection.ts";
import type { RunContext } from "../run-context.ts";

const SESSIONS = 15;
const TURNS_A_SESSION = 20;
/** How long the scripted model thinks before its first token: our work may overlap with it, as with a real one. */
const MODEL_THINKS_MS = 10;

interface OpenSession {
  id: string;
  connection: HttpConnection;
  stream: EventStream;
}

async function openSession(server: BenchServer, connection: HttpConnection): Promise<OpenSession> {
  const id = await server.createSession(connection);
  return { id, connection, stream: await server.stream(id, "?event_deltas[]=agent.message") };
}

/** `n` sessions one after the other, `turns` turns each. */
async function eachTurn(
  server: BenchServer,
  sessions: number,
  turns: number,
  turn: (session: OpenSession) => Promise<void>,
): Promise<void> {
  const connection = await server.connect();
  try {
    for (let s = 0; s < sessions; s++) {
      const session = await openSession(server, connection);
      for (let t = 0; t < turns; t++) await turn(session);
      session.stream.close();
    }
  } finally {
    connection.close();
  }
}

/** `POST` of a message to the model request, and the model's first byte to the preview on the stream. */
export async function timeToFirstToken({ provider, server: start, direct }: RunContext): Promise<Figure[]> {
  const server = await start();
  const there: number[] = [];
  const back: number[] = [];
  await eachTurn(server, SESSIONS, TURNS_A_SESSION, async (session) => {
    const sample = await firstToken(provider, session);
    there.push(sample.there);
    back.push(sample.back);
  });
  const calls = { name: "direct", samples: (await direct()).firstToken };
  const sum = there.map((ms, index) => ms + (back[index] ?? 0));
  return [
    times("added to first token", sum, { p50Max: 5, p99Max: 15 }, calls),
    times("  POST to model request", there, {}),
    times("  model byte to stream", back, {}),
  ];
}

async function firstToken(provider: ScriptedProvider, session: OpenSession): Promise<{ there: number; back: number }> {
  const gate = createGate();
  let askedAt = 0;
  const off = provider.onRequest(() => {
    askedAt = performance.now();
    return [hold(gate), say("A first token, and more of them.")];
  });
  session.stream.clear();
  const idle = session.stream.seen(({ type }) => type === "session.status_idle");
  const delta = session.stream.seen(({ type }) => type === "event_delta");
  const sentAt = performance.now();
  await Promise.all([sendMessage(session.connection, session.id, SAY), gate.reached]);
  await delay(MODEL_THINKS_MS);
  const answeredAt = performance.now();
  gate.open();
  const deltaAt = await delta;
  off();
  await idle;
  return { there: askedAt - sentAt, back: deltaAt - answeredAt };
}

/** `POST` of a message to `session.status_idle` on the stream, with an instant model. */
export async function turnWithoutTool({ server: start, direct }: RunContext): Promise<Figure[]> {
  const server = await start();
  const samples: number[] = [];
  await eachTurn(server, SESSIONS, TURNS_A_SESSION, async ({ connection, stream, id }) => {
    samples.push(await runTurn(connection, stream, id, SAY));
  });
  return [times("turn without a tool", samples, { p50Max: 15 }, { name: "direct", samples: (await direct()).whole })];
}

/** The same with one `bash` call in the sandbox that the session has already. */
export async function turnWithBash({ server: start, direct }: RunContext): Promise<Figure[]> {
  const server = await start();
  const first: number[] = [];
  const samples: number[] = [];
  const connection = await server.connect();
  for (let s = 0; s < SESSIONS; s++) {
    const session = await openSession(server, connection);
    first.push(await runTurn(connection, session.stream, session.id, BASH));
    for (let t = 1; t < TURNS_A_SESSION; t++) samples.push(await runTurn(connection, session.stream, session.id, BASH));
    session.stream.close();
  }
  connection.close();
  const calls = { name: "direct", samples: (await direct()).whole };
  return [
    times("turn with bash, its sandbox", samples, { p50Max: 40 }, calls),
    times("turn with bash, session's first", first, {}, calls),
  ];
}
