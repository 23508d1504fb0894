import type { Socket } from "node:net";
import type { BenchServer } from "../bench-server.ts";
import { API_KEY } from "../bench-server.ts";
import { type Figure, value } from "../figure.ts";
import { openSocket, requestHead } from "../http-connection.ts";
import { createSessions } from "../load.ts";
import type { RunContext } from "../run-context.ts";
import { startSecondNode } from "../second-node.ts";

const READERS = 100;
const BATCHES = 20;
const BATCH_EVENTS = 500;
const IDLE_STREAMS = 2_000;
const IDLE_SESSIONS = 20;
const FRAME_END = "\n\n";
/** A stream opens with a comment, which ends like a frame. */
const FRAMES_OF_OPENING = 1;

/** Frames a second to many streams of one session, and what a stream that waits takes of the server. */
export async function streams({ start }: RunContext): Promise<Figure[]> {
  const { server, dataDir } = await start();
  const node = await startSecondNode(dataDir);
  try {
    const [sessionId = ""] = await createSessions(server, 1);
    const readers = await openReaders(
      server,
      Array.from({ length: READERS }, () => sessionId),
    );
    const wanted = BATCHES * BATCH_EVENTS + FRAMES_OF_OPENING;
    const done = Promise.all(readers.map((reader) => reader.received(wanted)));
    const startedAt = performance.now();
    for (let batch = 0; batch < BATCHES; batch++) await node.append(sessionId, BATCH_EVENTS);
    await done;
    const seconds = (performance.now() - startedAt) / 1000;
    for (const reader of readers) reader.socket.destroy();
    const frames = READERS * BATCHES * BATCH_EVENTS;
    return [
      value(`frames to ${READERS} streams`, frames / seconds, "/s", frames, { valueMin: 300_000 }),
      await idleStreams(server),
    ];
  } finally {
    await node.close();
    await server.stop();
  }
}

async function idleStreams(server: BenchServer): Promise<Figure> {
  const sessions = await createSessions(server, IDLE_SESSIONS);
  // Those that are opened first pay for what all of them share.
  const first = await openReaders(server, sessions);
  const before = await server.rssKib();
  const readers = await openReaders(
    server,
    Array.from({ length: IDLE_STREAMS }, (_, n) => sessions[n % IDLE_SESSIONS] as string),
  );
  const after = await server.rssKib();
  for (const reader of [...first, ...readers]) reader.socket.destroy();
  return value("an idle stream", (after - before) / IDLE_STREAMS, "KiB", IDLE_STREAMS, { valueMax: 25 });
}

interface Reader {
  socket: Socket;
  /** Resolves when so many frames have come in all. */
  received(frames: number): Promise<void>;
}

/** Counts frames and does nothing else: JSON has no line breaks, so only a frame's end has two. */
async function openReader(server: BenchServer, sessionId: string): Promise<Reader> {
  const socket = await openSocket(server.url);
  const opened = Promise.withResolvers<void>();
  let frames = 0;
  let endsInBreak = false;
  let wanted: { frames: number; resolve: () => void } | undefined;
  socket.on("data", (chunk: Buffer) => {
    if (endsInBreak && chunk[0] === FRAME_END.charCodeAt(0)) frames += 1;
    for (let at = chunk.indexOf(FRAME_END); at >= 0; at = chunk.indexOf(FRAME_END, at + FRAME_END.length)) frames += 1;
    endsInBreak = chunk.at(-1) === FRAME_END.charCodeAt(0) && chunk.at(-2) !== FRAME_END.charCodeAt(0);
    if (frames >= FRAMES_OF_OPENING) opened.resolve();
    if (wanted && frames >= wanted.frames) wanted.resolve();
  });
  socket.on("close", () => opened.reject(new Error("the stream was closed")));
  socket.write(`GET /v1/sessions/${sessionId}/events/stream HTTP/1.1\r\n${requestHead(server.url, API_KEY)}\r\n`);
  await opened.promise;
  return {
    socket,
    received: (count) =>
      new Promise((resolve, reject) => {
        wanted = { frames: count, resolve };
        socket.on("close", () => reject(new Error(`the stream was closed after ${frames} frames`)));
      }),
  };
}

async function openReaders(server: BenchServer, sessionIds: readonly string[]): Promise<Reader[]> {
  const readers: Reader[] = [];
  // A few at a time: the listen backlog is not what is measured.
  const AT_ONCE = 50;
  for (let at = 0; at < sessionIds.length; at += AT_ONCE) {
    readers.push(...(await Promise.all(sessionIds.slice(at, at + AT_ONCE).map((id) => openReader(server, id)))));
  }
  return readers;
}
