import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { expect, test } from "vitest";
import { trackUnusedConnections } from "./unused-connections.ts";

test("a connection without a request does not hold up a server that closes; one with a request does", async () => {
  const answer = Promise.withResolvers<void>();
  const server = createServer((_request, response) => {
    response.setHeader("connection", "close");
    void answer.promise.then(() => response.end("done"));
  });
  const unused = trackUnusedConnections(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const idle = connect(port, "127.0.0.1");
  const used = fetch(`http://127.0.0.1:${port}/`);
  await Promise.all([once(server, "request"), once(idle, "connect")]);

  const closed = once(server, "close");
  server.close();
  unused.destroy();
  await once(idle, "close");
  answer.resolve();
  expect(await (await used).text()).toBe("done");
  await closed;
});
