import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { expect, test } from "vitest";
import { createHttp1Exchange } from "./http1-exchange.ts";

test("a client that left before anybody looked has left", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
  const [request, response] = (await once(server, "request")) as [IncomingMessage, ServerResponse];
  client.destroy();
  await once(response, "close");
  expect(createHttp1Exchange(request, response, { expectsContinue: false, absolute: false }).gone.aborted).toBe(true);
  server.close();
  await once(server, "close");
});
