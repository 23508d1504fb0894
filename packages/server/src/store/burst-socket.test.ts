import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BurstSocket } from "./burst-socket.ts";

let server: Server;
let socket: BurstSocket;
let peer: Socket;

beforeEach(async () => {
  server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  socket = new BurstSocket();
  const accepted = once(server, "connection");
  socket.connect((server.address() as { port: number }).port, "127.0.0.1");
  [peer] = (await accepted) as [Socket];
});
afterEach(async () => {
  socket.destroy();
  peer.destroy();
  server.close();
  await once(server, "close");
});

/** All that came until the other side ended. */
async function received(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of peer) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

test("what is written in one turn leaves as one piece, in order", async () => {
  for (const word of ["one ", "two ", "three "]) socket.write(Buffer.from(word));
  expect(socket.bytesWritten).toBe(0);
  const [first] = (await once(peer, "data")) as [Buffer];
  expect(first.toString()).toBe("one two three ");
});

test("a text, and a write that wants to know when it is done, stay in their place", async () => {
  const all = received();
  socket.write(Buffer.from("a"));
  socket.write("b");
  socket.write(Buffer.from("c"));
  const written = Promise.withResolvers<void>();
  socket.write(Buffer.from("d"), () => written.resolve());
  socket.write(Buffer.from("e"));
  await written.promise;
  await new Promise(setImmediate);
  socket.end();
  expect(await all).toBe("abcde");
});

test("what is still held when the connection breaks is nobody's error", async () => {
  socket.write(Buffer.from("lost"));
  socket.destroy();
  await once(socket, "close");
  expect(socket.bytesWritten).toBe(0);
});
