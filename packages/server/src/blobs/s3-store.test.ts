import { randomBytes } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { afterEach, expect, test } from "vitest";
import { type BlobStore, BlobsUnavailable } from "./port.ts";
import { createS3Store } from "./s3-store.ts";

/** What the real server cannot be made to do: fail. The suite of the port runs in s3-store.extra.test.ts. */
const ADDRESS = "0".repeat(64);
const servers: Server[] = [];
const stores: BlobStore[] = [];

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
});

async function storeBehind(answer: (method: string, url: string) => number): Promise<{ store: BlobStore; seen: string[] }> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    const { method = "", url = "" } = request;
    request.resume().on("end", () => {
      seen.push(`${method} ${url.replace(/\/[0-9a-f-]{36}/, "/<uuid>").replace(/&?x-id=\w+/, "")}`);
      response.writeHead(answer(method, url)).end();
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const credentials = { accessKeyId: "a", secretAccessKey: "b" };
  const store = await createS3Store({ bucket: "bucket", prefix: "", endpoint, credentials, attemptsMax: 2 });
  stores.push(store);
  return { store, seen };
}

const source = () => Readable.from([randomBytes(1_000)]);

test("503 of every request: unavailable, after another try", async () => {
  const { store, seen } = await storeBehind(() => 503);
  for (const call of [
    () => store.stage(source(), { bytesMax: 10_000 }),
    () => store.get(ADDRESS),
    () => store.exists(ADDRESS),
    () => store.delete(ADDRESS),
    () => store.sweep(new Date()),
  ]) {
    const before = seen.length;
    await expect(call()).rejects.toBeInstanceOf(BlobsUnavailable);
    expect(seen.length - before).toBe(2);
  }
});

test("a server that is gone is unavailable, too", async () => {
  const { store } = await storeBehind(() => 200);
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  await expect(store.stage(source(), { bytesMax: 10_000 })).rejects.toBeInstanceOf(BlobsUnavailable);
  await expect(store.exists(ADDRESS)).rejects.toBeInstanceOf(BlobsUnavailable);
});

test("staged, and then it cannot be published: unavailable, and discarded", async () => {
  const { store, seen } = await storeBehind((_method, url) => (url.includes("/objects/") ? 503 : 200));
  const staged = await store.stage(source(), { bytesMax: 10_000 });
  await expect(staged.publish()).rejects.toBeInstanceOf(BlobsUnavailable);
  await staged.discard();
  expect(seen.at(-1)).toMatch(/^DELETE \/bucket\/staging\/<uuid>/);
});

test("what is not allowed is no passing trouble, and a source's error is its own", async () => {
  const { store } = await storeBehind((method) => (method === "HEAD" ? 200 : 403));
  const refusal = await store.get(ADDRESS).catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(Error);
  expect(refusal).not.toBeInstanceOf(BlobsUnavailable);
  const lost = Object.assign(new Error("the client is gone"), { code: "ECONNRESET" });
  async function* broken(): AsyncGenerator<Uint8Array, void, undefined> {
    yield randomBytes(10);
    throw lost;
  }
  await expect(store.stage(broken(), { bytesMax: 10_000 })).rejects.toBe(lost);
});

test("a bucket that is not there, or not ours, is said at the start", async () => {
  await expect(storeBehind(() => 404)).rejects.toThrow('there is no bucket "bucket"');
  await expect(storeBehind(() => 403)).rejects.toThrow('the bucket "bucket" may not be used');
});
