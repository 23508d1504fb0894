import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { expect, test } from "vitest";
import { createHttp1Upstream } from "./http1-upstream.ts";

test("a connection that is there only after the end is closed, and its request told", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "connection");
  const gate = Promise.withResolvers<void>();
  const upstream = createHttp1Upstream(async () => {
    await gate.promise;
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    await once(socket, "connect");
    return socket;
  });
  const gone = new AbortController();
  const { response, body } = await upstream.send({
    method: "GET",
    path: "/",
    authority: "a.example",
    headers: [],
    framing: { type: "none" },
    trailers: () => [],
    signal: gone.signal,
    expectsContinue: false,
    onContinue: () => undefined,
  });
  body.end();
  gone.abort();
  upstream.close();
  gate.resolve();
  await expect(response).rejects.toThrow();
  const [socket] = await accepted;
  socket.resume();
  await once(socket, "close");
  const closed = once(server, "close");
  server.close();
  await closed;
});
