import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createWorld, curl, HOST, PLACEHOLDER, rememberHttp1, SECRET, type World } from "./opened.fixture.ts";

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world.close());

test("curl: the secret is put into a header, and what comes back of it is covered", async () => {
  const seen = await rememberHttp1(world, (response, { request }) => {
    response.setHeader("X-Echo", String(request.headers.authorization));
    response.end(JSON.stringify(request.headers));
  });
  const { stdout } = await curl(world, "-i", `https://${HOST}/a?key=${PLACEHOLDER}`, "-H", `Authorization: Bearer ${PLACEHOLDER}`);
  expect(seen[0]?.request.headers.authorization).toBe(`Bearer ${SECRET}`);
  expect(seen[0]?.request.url).toBe(`/a?key=${PLACEHOLDER}`);
  expect(stdout).not.toContain(SECRET);
  expect(stdout).toContain(`X-Echo: Bearer ${PLACEHOLDER}`);
  await vi.waitFor(() => expect(world.rows).toHaveLength(1));
  expect(world.rows[0]).toMatchObject({ verdict: "allowed", host: HOST, port: 443, credentialIds: ["vcrd_1"], sessionId: "sesn_1" });
});
