/**
 * The spawner: a small process that starts sandbox processes for the server. Starting one from the server itself would
 * copy the server's page tables and hold its one thread until the child has come to run: 3 to 10 ms of an idle machine
 * and 40 ms of a busy one, against half a millisecond this way. It ends when the server does, and what it has started
 * ends with it (`bwrap --die-with-parent`).
 */
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { connect, type Socket } from "node:net";
import {
  readJsonLines,
  type SpawnerMessage,
  type SpawnerSetup,
  type SpawnMessage,
  type StreamGreeting,
} from "./spawner-messages.ts";

const STREAMS = [0, 1, 2];

let setup: SpawnerSetup | null = null;

function send(message: SpawnerMessage): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** A connection to the server that nothing has been read from. */
function openStream({ socketName, secret }: SpawnerSetup, id: number, stream: number): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connect({ path: `\0${socketName}` });
  const greeting: StreamGreeting = { secret, id, stream };
  socket.once("error", reject);
  socket.pause();
  socket.write(`${JSON.stringify(greeting)}\n`, () => resolve(socket));
  return promise;
}

async function start(request: SpawnMessage, to: SpawnerSetup): Promise<void> {
  const { id, file, args, env, cwd, files } = request;
  const streams = await Promise.all(STREAMS.map((stream) => openStream(to, id, stream)));
  const descriptors = files.map((path) => openSync(path, "r"));
  try {
    const child = spawn(file, args, { stdio: [...streams, ...descriptors], env, cwd });
    child.once("error", (error) => send({ type: "failed", id, message: error.message }));
    if (child.pid === undefined) return;
    send({ type: "spawned", id, pid: child.pid });
    child.once("exit", (code, signal) => send({ type: "exited", id, code, signal }));
  } finally {
    for (const descriptor of descriptors) closeSync(descriptor);
    // The process has its own.
    for (const stream of streams) stream.destroy();
  }
}

readJsonLines(process.stdin, (message) => {
  if (setup === null) {
    setup = message as SpawnerSetup;
    return;
  }
  const request = message as SpawnMessage;
  start(request, setup).catch((error: unknown) => send({ type: "failed", id: request.id, message: String(error) }));
});
// The server is gone.
process.stdin.on("end", () => process.exit(0));
process.stdout.on("error", () => process.exit(0));
