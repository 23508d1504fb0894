import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { SandboxError, type Volume } from "@sandbox0/sandbox";
import { createTestDatabase } from "@sandbox0/testkit";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { BlobMissing, BlobsUnavailable } from "../../blobs/port.ts";
import { insertFile } from "../../store/files.ts";
import { createPool, type Database } from "../../store/pool.ts";
import { deleteSessionResource, insertSessionResources } from "../../store/session-resources.ts";
import { insertSession } from "../../store/sessions.ts";
import type { ProvisionPart, ProvisionSession } from "../port.ts";
import { createFilesPart } from "./files-part.ts";

const WORKSPACE = "wrkspc_1";
const UPLOADS = "/mnt/session/uploads";

let db: Database;
let drop: () => Promise<void>;
let dir: string;
let part: ProvisionPart;
let session: ProvisionSession;
let volume: Volume;
let broken: Error | null;
let opened: number;
let count = 0;

beforeAll(async () => {
  const database = await createTestDatabase();
  drop = () => database.drop();
  db = createPool({ connectionString: database.connectionString, max: 8 });
  dir = await mkdtemp(join(tmpdir(), "sandbox0-files-"));
  await db.query("insert into workspaces (id, name) values ($1, 'test')", [WORKSPACE]);
  await db.query(
    "insert into environments (id, workspace_id, name, config, created_at, updated_at) values ('env_1', $1, 'e', '{}', now(), now())",
    [WORKSPACE],
  );
});
afterAll(async () => {
  await db.close();
  await drop();
  await rm(dir, { recursive: true });
});

beforeEach(async () => {
  const id = `sesn_${++count}`;
  const names = { workspaceId: WORKSPACE, threadId: "sthr_1", agentId: "agent_1", environmentId: "env_1", harness: "sandpi" };
  const agent = { name: "a" };
  await insertSession(db, {
    id,
    ...names,
    agentVersion: 1,
    agent,
    title: null,
    metadata: {},
    vaultIds: [],
    createdAt: new Date(),
  });
  volume = { id: `vol_${count}`, path: join(dir, `vol_${count}`) };
  await mkdir(join(volume.path, "uploads"), { recursive: true });
  const { signal } = new AbortController();
  session = { sessionId: id, workspaceId: WORKSPACE, environmentId: "env_1", agent, signal, report: async () => undefined };
  broken = null;
  opened = 0;
  const open = async () => {
    opened += 1;
    if (broken) throw broken;
    return Readable.from([Buffer.from("x")]);
  };
  part = createFilesPart({ db, blobs: { open } });
});

/** Gives the session a file. @returns the resource */
async function give(name: string): Promise<string> {
  const nth = ++count;
  const sha256 = nth.toString(16).padStart(64, "0");
  await db.query("insert into blobs (sha256, size_bytes, touched_at) values ($1, 1, now())", [sha256]);
  const at = new Date();
  const facts = {
    filename: name,
    mimeType: "text/plain",
    sizeBytes: 1,
    sha256,
    downloadable: false,
    createdAt: at,
    expiresAt: null,
  };
  await insertFile(db, WORKSPACE, { id: `file_${nth}`, sessionId: session.sessionId, ...facts });
  const config = { type: "file", file_id: `file_${nth}`, mount_path: `${UPLOADS}/${name}` } as const;
  await insertSessionResources(db, session.sessionId, [{ id: `sesrsc_${nth}`, config, createdAt: at, updatedAt: at }]);
  return `sesrsc_${nth}`;
}
const mounted = async (): Promise<string[]> => (await readdir(join(volume.path, "uploads"))).sort();

test("what the session has is mounted with the turn, and what changes meanwhile behind the next call", async () => {
  const first = await give("a");
  await part.fill?.(session, volume);
  expect(await mounted()).toEqual(["a"]);
  await give("b");
  expect(await part.afterCall?.(session, volume)).toEqual([]);
  expect(await mounted()).toEqual(["a", "b"]);
  expect(opened).toBe(2);
  await deleteSessionResource(db, first);
  await Promise.all([part.afterCall?.(session, volume), part.afterCall?.(session, volume)]);
  expect(await mounted()).toEqual(["b"]);
  await part.beforeIdle?.(session, volume);
  await part.fill?.(session, volume);
  expect(opened).toBe(2);
});

test("the prompt names them, and not hundreds", async () => {
  expect(await part.notes?.(session)).toEqual([]);
  for (let nth = 0; nth < 52; nth++) await give(`f${nth}`);
  const [note] = (await part.notes?.(session)) ?? [];
  expect(note).toContain(`- ${UPLOADS}/f0\n`);
  expect(note).toMatch(/- \/mnt\/session\/uploads\/f49\n- and 2 more$/);
});

test("what cannot be mounted keeps the sandbox from being used, and is tried again", async () => {
  await give("a");
  for (const [error, says] of [
    [new BlobsUnavailable("connection", new Error("503")), /cannot be read from the server's storage/],
    [new BlobMissing("0"), /is lost/],
    [Object.assign(new Error("full"), { code: "ENOSPC" }), /too full/],
  ] as const) {
    broken = error;
    const failure = await part.fill?.(session, volume).catch((caught: unknown) => caught);
    expect(failure).toBeInstanceOf(SandboxError);
    expect(failure).toMatchObject({ code: "unavailable", message: expect.stringMatching(says) as string });
  }
  broken = new Error("a bug");
  await expect(part.fill?.(session, volume)).rejects.toThrow("a bug");
  broken = null;
  await part.fill?.(session, volume);
  expect(await mounted()).toEqual(["a"]);
});

test("a call that has run keeps its result when a file that came meanwhile cannot be mounted", async () => {
  await part.fill?.(session, volume);
  await give("late");
  broken = new BlobsUnavailable("connection", new Error("503"));
  expect(await part.afterCall?.(session, volume)).toEqual([expect.stringMatching(/^Files of the user were added or removed/)]);
  broken = null;
  expect(await part.afterCall?.(session, volume)).toEqual([]);
  expect(await mounted()).toEqual(["late"]);
});
