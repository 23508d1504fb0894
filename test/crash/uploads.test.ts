import { createHash, randomBytes } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { toFile } from "@anthropic-ai/sdk";
import { until } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ServerProcess } from "./server-process.ts";
import { createStage, type Stage } from "./stage.ts";

/** With the product's own grace: on a slow disk an upload takes longer than the collector's second. */
const UPLOADING = { SANDBOX0_UPLOADS_DOWNLOADABLE: "true" };
/** Deleted content, and what a crash left of an upload, is removed within seconds: for a server that takes no uploads. */
const COLLECTING = { ...UPLOADING, SANDBOX0_BLOB_GRACE_SECONDS: "1" };
const UPLOADS_AT_ONCE = 4;
const BIG_BYTES = 500 * 1024 * 1024;
const CHUNK_BYTES = 1024 * 1024;
/** Far below the file, far above what the garbage collector of a busy server makes of a stream. */
const GROWTH_BYTES_MAX = 160 * 1024 * 1024;

let stage: Stage;
/** What clients were told is stored: the hash of its content by the file's id. */
const acknowledged = new Map<string, string>();

beforeAll(async () => {
  stage = await createStage();
});
afterAll(() => stage.close());

const hashOf = (content: Uint8Array): string => createHash("sha256").update(content).digest("hex");
const blobs = (folder: string): string => join(stage.dataDir, "blobs", folder);
const staged = (): Promise<string[]> => readdir(blobs("staging"));
async function published(): Promise<string[]> {
  const entries = await readdir(blobs("objects"), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

/** Uploads file after file until its server is killed. */
async function keepUploading(server: ServerProcess, kill: AbortSignal): Promise<void> {
  const client = stage.client(server);
  for (let i = 0; ; i += 1) {
    const content = randomBytes(100_000 + ((i * 700_000) % 6_000_000));
    try {
      const { id } = await client.files.upload({ file: await toFile(content, `${i}`) });
      acknowledged.set(id, hashOf(content));
    } catch (error) {
      if (kill.aborted) return;
      throw error;
    }
  }
}

/** Everything that is listed is there, whole; everything that was acknowledged is listed. */
async function checkStored(server: ServerProcess): Promise<void> {
  const client = stage.client(server);
  const listed = new Map<string, string>();
  for await (const { id } of client.files.list({ limit: 1_000 })) {
    const content = new Uint8Array(await (await client.files.download(id)).arrayBuffer());
    listed.set(id, hashOf(content));
  }
  for (const [id, hash] of acknowledged) expect([id, listed.get(id)]).toEqual([id, hash]);
  const { rows } = await stage.db.query<{ id: string; sha256: string }>("select id, sha256 from files");
  expect(new Map(rows.map(({ id, sha256 }) => [id, sha256]))).toEqual(listed);
}

/** Once garbage is collected, there is nothing but what files refer to. */
async function untilClean(): Promise<void> {
  const state = async () => {
    const { rows } = await stage.db.query<{ sha256: string; wanted: boolean }>(
      "select sha256, exists (select from files f where f.sha256 = b.sha256) as wanted from blobs b",
    );
    return { rows, objects: await published(), staged: await staged() };
  };
  await until(async () => {
    const { rows, objects, staged } = await state();
    const names = rows.map(({ sha256 }) => sha256).sort();
    return staged.length === 0 && rows.every(({ wanted }) => wanted) && names.join() === objects.sort().join();
  });
}

/** When to kill, from when there are uploads. */
const MOMENTS: Record<string, (before: { published: number }) => Promise<boolean>> = {
  "while content comes": async () => (await staged()).length > 0,
  "while content is published": async (before) => (await published()).length > before.published,
  "at the first answer": async () => acknowledged.size > 0,
  "in the thick of it": async (before) => (await published()).length > before.published + 2 * UPLOADS_AT_ONCE,
};

test.each(Object.entries(MOMENTS))(
  "killed %s: nothing acknowledged is lost, and nothing else is left",
  async (_name, isThere) => {
    for (let round = 0; round < 2; round += 1) {
      acknowledged.clear();
      const server = await stage.startServer({ environment: UPLOADING });
      const before = { published: (await published()).length };
      const kill = new AbortController();
      const clients = Promise.all(Array.from({ length: UPLOADS_AT_ONCE }, () => keepUploading(server, kill.signal)));
      await Promise.race([clients, until(() => isThere(before))]);
      kill.abort();
      await server.kill();
      await clients;
      const next = await stage.startServer({ environment: COLLECTING });
      await checkStored(next);
      const client = stage.client(next);
      for (const id of [...acknowledged.keys()].slice(0, 2)) {
        await client.files.delete(id);
        acknowledged.delete(id);
      }
      await untilClean();
      await checkStored(next);
      for await (const { id } of client.files.list({ limit: 1_000 })) await client.files.delete(id);
      await untilClean();
      await next.kill();
    }
  },
);

test("500 MB go in and out without being in memory", async () => {
  const server = await stage.startServer({ environment: UPLOADING });
  const client = stage.client(server);
  const { id: small } = await client.files.upload({ file: await toFile(randomBytes(1_000), "small") });
  const before = await peakBytes(server);
  const chunk = randomBytes(CHUNK_BYTES);
  const hash = createHash("sha256");
  async function* form(): AsyncGenerator<Uint8Array, void, undefined> {
    yield Buffer.from('--X\r\ncontent-disposition: form-data; name="file"; filename="big"\r\n\r\n');
    for (let sent = 0; sent < BIG_BYTES; sent += CHUNK_BYTES) {
      hash.update(chunk);
      yield chunk;
    }
    yield Buffer.from("\r\n--X--\r\n");
  }
  // The SDK would make the whole form first.
  const response = await fetch(`${server.url}/v1/files`, {
    method: "POST",
    headers: { "x-api-key": client.apiKey ?? "", "content-type": "multipart/form-data; boundary=X" },
    body: ReadableStream.from(form()),
    duplex: "half",
  } as RequestInit);
  const file = (await response.json()) as { id: string; size_bytes: number };
  expect(file.size_bytes).toBe(BIG_BYTES);
  const back = createHash("sha256");
  for await (const part of (await client.files.download(file.id)).body ?? []) back.update(part);
  expect(back.digest("hex")).toBe(hash.digest("hex"));
  expect((await peakBytes(server)) - before).toBeLessThan(GROWTH_BYTES_MAX);
  for (const id of [small, file.id]) await client.files.delete(id);
  await server.kill();
  await stage.startServer({ environment: COLLECTING });
  await untilClean();
});

/** The most that the process ever had in memory. */
async function peakBytes({ pid }: ServerProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1_024;
}
