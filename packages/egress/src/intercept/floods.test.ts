/** Clients of opened connections that ask for more than they may. */
import { once } from "node:events";
import { connect as connectHttp2, constants } from "node:http2";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { HTTP2_CONNECTIONS_PER_SANDBOX_MAX } from "./limits.ts";
import { createWorld, HOST, openTunnel, serveHttp1, type World } from "./opened.fixture.ts";

const WAIT = { timeout: 60_000 };

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world.close());

test("HTTP/1.1: a connection on which more requests wait than may is closed", async () => {
  await serveHttp1(world, () => undefined);
  const tls = await openTunnel(world, ["http/1.1"]);
  tls.on("error", () => undefined);
  tls.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`.repeat(2_000));
  await new Promise((resolve) => tls.resume().once("close", resolve));
  await vi.waitFor(() => expect(world.rows).toHaveLength(17), WAIT);
  expect(world.rows.filter(({ reason }) => reason === "too_many_requests")).toMatchObject([{ verdict: "denied", host: HOST }]);
});

const http2To = async () => {
  const tls = await openTunnel(world, ["h2"]);
  const session = connectHttp2(`https://${HOST}`, { createConnection: () => tls });
  session.on("error", () => undefined);
  await once(session, "remoteSettings");
  return session;
};

test("HTTP/2: a connection whose requests are reset as fast as they come is closed, and their work is bounded", async () => {
  let asked = 0;
  // Nobody says what the policy is, so that nothing ends.
  const { promise: never, resolve } = Promise.withResolvers<string | null>();
  world.secretOf = () => {
    asked += 1;
    return never;
  };
  await serveHttp1(world, () => undefined);
  const session = await http2To();
  let reset = 0;
  while (!session.destroyed && reset < 20_000) {
    const stream = session.request({ ":path": "/" });
    stream.on("error", () => undefined);
    stream.close(constants.NGHTTP2_CANCEL);
    reset += 1;
    await new Promise(setImmediate);
  }
  expect(session.destroyed).toBe(true);
  expect(asked).toBeLessThanOrEqual(128);
  resolve(null);
});

test("HTTP/2: a client is told how many requests it may have open, and how large their heads", async () => {
  const session = await http2To();
  expect(session.remoteSettings).toMatchObject({ maxConcurrentStreams: 32, maxHeaderListSize: 64 * 1024, enablePush: false });
  session.destroy();
});

test("HTTP/2: a sandbox has only so many connections of it, and more in HTTP/1.1", async () => {
  const open = [];
  for (let at = 0; at < HTTP2_CONNECTIONS_PER_SANDBOX_MAX; at += 1) open.push(await openTunnel(world, ["h2", "http/1.1"]));
  expect(open.map(({ alpnProtocol }) => alpnProtocol)).toEqual(open.map(() => "h2"));
  expect((await openTunnel(world, ["h2", "http/1.1"])).alpnProtocol).toBe("http/1.1");
  open[0]?.destroy();
  await vi.waitFor(async () => expect((await openTunnel(world, ["h2", "http/1.1"])).alpnProtocol).toBe("h2"), WAIT);
}, 120_000);
