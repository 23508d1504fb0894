import { createServer, request as forward, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { BlobStore } from "../../blobs/port.ts";
import { type S3Server, startS3Server } from "../../blobs/s3-server.fixture.ts";
import { createS3Store } from "../../blobs/s3-store.ts";
import { readSessionVolume } from "../../store/session-volumes.ts";
import { Nodes } from "./nodes.fixture.ts";

const POLL = { timeout: 60_000 };
let s3: S3Server;
let door: Server;
let isDown = false;
let store: BlobStore;
let nodes: Nodes;

beforeAll(async () => {
  s3 = await startS3Server();
  const { bucket, prefix, credentials } = await s3.createBucket();
  door = createServer((request, response) => {
    if (isDown) return void response.writeHead(503).end();
    const { method, url, headers } = request;
    const onward = forward(new URL(url ?? "/", s3.url), { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => door.listen(0, "127.0.0.1", resolve));
  const endpoint = `http://127.0.0.1:${(door.address() as AddressInfo).port}`;
  store = await createS3Store({
    bucket,
    prefix,
    endpoint,
    credentials: credentials ?? { accessKeyId: "", secretAccessKey: "" },
    attemptsMax: 2,
  });
  nodes = await Nodes.create(store);
});
afterAll(async () => {
  await nodes.close();
  await store.close();
  door.closeAllConnections();
  await new Promise((resolve) => door.close(resolve));
  await s3.close();
});

test("a session moves between servers through S3, and waits there for a store that answers 503", async () => {
  const [a, b] = [await nodes.start("a", { captureAfterMs: 0 }), await nodes.start("b")];
  const session = await nodes.newSession();
  const large = randomBytes(20_000_000);
  isDown = true;
  await a.turn(session, ({ path }) => writeFile(join(path, "workspace/large"), large));
  await expect.poll(() => a.troubles.map(String), POLL).toEqual([expect.stringMatching(/blob store unavailable/)]);
  await expect(b.read(session, "large")).rejects.toMatchObject({ code: "unavailable", message: /cannot store them now/ });
  isDown = false;
  await a.write(session, "small", "one");
  await expect.poll(async () => (await readSessionVolume(nodes.db, session))?.dirty, POLL).toBe(false);
  isDown = true;
  await expect(b.read(session, "small")).rejects.toMatchObject({ code: "unavailable" });
  isDown = false;
  let found = Buffer.alloc(0);
  const said = await b.turn(session, async ({ path }) => {
    found = await readFile(join(path, "workspace/large"));
  });
  expect([found.equals(large), said]).toEqual([true, []]);
  expect((await b.read(session, "small")).content).toBe("one");
});
