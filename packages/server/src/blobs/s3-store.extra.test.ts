import { randomBytes } from "node:crypto";
import { CreateMultipartUploadCommand, ListMultipartUploadsCommand, ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { BlobStore } from "./port.ts";
import { type S3Server, startS3Server } from "./s3-server.fixture.ts";
import { createS3Store, type S3Options } from "./s3-store.ts";
import { BLOB_STORE_CASES } from "./testing/blob-store-cases.ts";

let server: S3Server;
let options: S3Options & { endpoint: string };
let store: BlobStore;
let client: S3Client;

beforeAll(async () => {
  server = await startS3Server();
  options = await server.createBucket();
  store = await createS3Store(options);
  client = new S3Client({
    endpoint: server.url,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId: "test", secretAccessKey: "test" },
  });
});
afterAll(async () => {
  await store?.close();
  client?.destroy();
  await server?.close();
});

const uploads = async () => (await client.send(new ListMultipartUploadsCommand({ Bucket: options.bucket }))).Uploads ?? [];
const keys = async () =>
  ((await client.send(new ListObjectsV2Command({ Bucket: options.bucket }))).Contents ?? []).map(({ Key }) => Key);

describe("an S3 server's bucket of blobs", () => {
  test.each(BLOB_STORE_CASES)("$name", ({ run }) => run(store));

  test("everything is under the prefix, and nothing is left of what failed", async () => {
    expect((await keys()).every((key) => key?.startsWith("some/where/objects/"))).toBe(true);
    expect(await uploads()).toEqual([]);
  });

  test("an upload that was killed is swept, parts and all", async () => {
    const Key = "some/where/staging/killed";
    await client.send(new CreateMultipartUploadCommand({ Bucket: options.bucket, Key }));
    expect(await uploads()).toHaveLength(1);
    // This server says of every upload that it was begun in 2010.
    expect(await store.sweep(new Date(Date.now() + 3_600_000))).toBe(1);
    expect(await uploads()).toEqual([]);
  });

  test("no such bucket is said at the start", async () => {
    await expect(createS3Store({ ...options, bucket: "no-such-bucket" })).rejects.toThrow('there is no bucket "no-such-bucket"');
  });

  test("100 MB are never in memory", async () => {
    const chunk = randomBytes(1024 * 1024);
    const before = process.memoryUsage().rss;
    let most = before;
    async function* source(): AsyncGenerator<Uint8Array, void, undefined> {
      for (let i = 0; i < 100; i += 1) {
        most = Math.max(most, process.memoryUsage().rss);
        yield Buffer.from(chunk);
      }
    }
    const staged = await store.stage(source(), { bytesMax: 200 * 1024 * 1024 });
    await staged.publish();
    expect(staged.sizeBytes).toBe(100 * 1024 * 1024);
    expect(most - before).toBeLessThan(80 * 1024 * 1024);
  });
});
