import { once } from "node:events";
import { afterEach, expect, it, vi } from "vitest";
import {
  connectRequest,
  connectTo,
  createWorld,
  exchange,
  listenTls,
  openTunnelTo,
  readAll,
  readHead,
  tlsOver,
  type Upstream,
  type World,
} from "./gateway.fixture.ts";
import { EGRESS_LIMITS, type EgressLimits } from "./limits.ts";
import { createSocketBudget } from "./socket-budget.ts";

const WAIT_MS = 60_000;
const ASK_FOR_TUNNEL = connectRequest("allowed.example:443");

let world: World;
let upstream: Upstream;

const worldWith = async (limits: Partial<EgressLimits>): Promise<void> => {
  world = await createWorld({ limits });
  upstream = await listenTls(world.ca, "allowed.example", (socket) => socket.pipe(socket));
  world.listensAt.set(443, upstream.port);
};

afterEach(async () => {
  await world.close();
  await upstream.close();
  expect(world.bugs).toEqual([]);
});

it("counts both sides of a tunnel, and takes more again when it has ended", async () => {
  await worldWith({ socketsPerSandboxMax: 3 });
  const tls = await tlsOver(await openTunnelTo(world.socketPath, "allowed.example:443"), world.ca, "allowed.example");
  const answer = await exchange(world.socketPath, ASK_FOR_TUNNEL);
  expect(answer).toMatch(/^HTTP\/1.1 503 Failed by sandbox0 egress: too_many_sockets\r\n/);
  expect(answer).toContain("Close some, or try again later.");
  expect(upstream.connections).toBe(1);
  tls.destroy();
  await vi.waitFor(async () => expect(await exchange(world.socketPath, ASK_FOR_TUNNEL)).toMatch(/^HTTP\/1.1 200 /), WAIT_MS);
}, 120_000);

it("gives back what a dial that failed had taken", async () => {
  await worldWith({ socketsPerSandboxMax: 2 });
  await upstream.close();
  for (let at = 0; at < 3; at += 1) {
    await vi.waitFor(
      async () => expect(await exchange(world.socketPath, ASK_FOR_TUNNEL)).toMatch(/ 502 .*connection_refused/),
      WAIT_MS,
    );
  }
  upstream = await listenTls(world.ca, "allowed.example", () => undefined);
});

it("tells only so many at once that they are too many", async () => {
  await worldWith({ socketsMax: 1, refusalsMax: 1 });
  const kept = await connectTo(world.socketPath);
  // Both before either is read: whoever is told is kept for a moment only.
  const told = await connectTo(world.socketPath);
  const untold = await connectTo(world.socketPath);
  expect(await readHead(told)).toMatch(/^HTTP\/1.1 503 .*too_many_sockets/);
  expect((await readAll(untold)).toString()).toBe("");
  told.destroy();
  kept.destroy();
});

it("leaves half of the files that the process may open to the rest of the server", async () => {
  await worldWith({});
  const dialled = await connectTo(world.socketPath);
  const guard = { check: () => Promise.reject(new Error("not asked")), dial: async () => dialled };
  const budget = createSocketBudget(EGRESS_LIMITS, guard, 2);
  await expect(budget.dial("a", "allowed.example", 443)).resolves.toBe(dialled);
  await expect(budget.dial("b", "allowed.example", 443)).rejects.toMatchObject({ reason: "too_many_sockets", status: 503 });
  dialled.destroy();
  await once(dialled, "close");
  await expect(budget.dial("b", "allowed.example", 443)).resolves.toBe(dialled);
});
