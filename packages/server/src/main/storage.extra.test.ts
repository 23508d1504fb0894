import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { createTestDatabase, until } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BlobMissing } from "../blobs/port.ts";
import { type S3Server, startS3Server } from "../blobs/s3-server.fixture.ts";
import { createPool } from "../store/pool.ts";
import { loadConfig } from "./config.ts";
import { openStorage } from "./storage.ts";

let server: S3Server;

beforeAll(async () => {
  server = await startS3Server();
  // Where an operator has them.
  process.env.AWS_ACCESS_KEY_ID = "test";
  process.env.AWS_SECRET_ACCESS_KEY = "test";
});
afterAll(() => server?.close());

test("content in a bucket of the configuration, on two nodes, until nothing refers to it", async () => {
  const { bucket } = await server.createBucket();
  const database = await createTestDatabase();
  const db = createPool({ connectionString: database.connectionString, max: 4 });
  const problems: unknown[] = [];
  const open = (graceSeconds: string) => {
    const url = `s3://${bucket}/blobs?endpoint=${server.url}`;
    const config = loadConfig({ SANDBOX0_BLOBS: url, SANDBOX0_BLOB_GRACE_SECONDS: graceSeconds });
    return openStorage({ config, db, onProblem: (error) => problems.push(error) });
  };
  const nodes = [await open("3600"), await open("3600")] as const;
  const [one, two] = nodes;
  try {
    const content = randomBytes(12_000_000);
    const { sha256 } = await one.blobs.put(Readable.from([content]), { bytesMax: 20_000_000 });
    expect((await buffer(await two.blobs.open(sha256))).equals(content)).toBe(true);
    expect(await buffer(await two.blobs.open(sha256, { start: 5, end: 10 }))).toEqual(content.subarray(5, 10));
    const impatient = await open("1");
    await until(() =>
      two.blobs.open(sha256).then(
        (stream) => stream.destroy() && false,
        (error: unknown) => error instanceof BlobMissing,
      ),
    );
    await impatient.close();
    expect((await db.query("select 1 from blobs")).rows).toEqual([]);
    expect(problems).toEqual([]);
  } finally {
    await Promise.all(nodes.map((node) => node.close()));
    await db.close();
    await database.drop();
  }
});

test("a bucket that is not there is a bad configuration", async () => {
  const config = loadConfig({ SANDBOX0_BLOBS: `s3://no-such-bucket?endpoint=${server.url}` });
  const db = createPool({ connectionString: "postgres://nobody@127.0.0.1:1/x", max: 1 });
  await expect(openStorage({ config, db, onProblem: () => undefined })).rejects.toThrow("SANDBOX0_BLOBS: there is no bucket");
  await db.close();
});
