import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { appendFile, link, mkdir, mkdtemp, open, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { createId, type SessionError } from "@sandbox0/protocol";
import type { Volume } from "@sandbox0/sandbox";
import { createTestDatabase } from "@sandbox0/testkit";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type Blobs, createBlobs } from "../../blobs/blobs.ts";
import { createDirectoryStore } from "../../blobs/directory-store.ts";
import { BlobsUnavailable } from "../../blobs/port.ts";
import { createFiles, FILE_BYTES_MAX } from "../../resources/files/files.ts";
import { type FileRecord, deleteFile, listFiles } from "../../store/files.ts";
import { createPool, type Database } from "../../store/pool.ts";
import { storeOutput } from "../../store/session-outputs.ts";
import { insertSession } from "../../store/sessions.ts";
import type { ProvisionPart, ProvisionSession } from "../port.ts";
import { createOutputsPart } from "./outputs-part.ts";

const run = promisify(execFile);
const WORKSPACE = "wrkspc_1";

let db: Database;
let drop: () => Promise<void>;
let dir: string;
let blobs: Blobs;
let part: ProvisionPart;
let session: ProvisionSession;
let volume: Volume;
let errors: SessionError[];
let count = 0;
const problems: unknown[] = [];

beforeAll(async () => {
  const database = await createTestDatabase();
  drop = () => database.drop();
  db = createPool({ connectionString: database.connectionString, max: 8 });
  dir = await mkdtemp(join(tmpdir(), "sandbox0-outputs-"));
  blobs = createBlobs({
    db,
    store: await createDirectoryStore(join(dir, "blobs")),
    onProblem: (error) => void problems.push(error),
  });
  await db.query("insert into workspaces (id, name) values ($1, 'test')", [WORKSPACE]);
  await db.query(
    "insert into environments (id, workspace_id, name, config, created_at, updated_at) values ('env_1', $1, 'e', '{}', now(), now())",
    [WORKSPACE],
  );
});
afterAll(async () => {
  expect(problems).toEqual([]);
  await db.close();
  await drop();
  await rm(dir, { recursive: true });
});

beforeEach(async () => {
  const id = `sesn_${++count}`;
  const agent = { name: "a" };
  const names = { workspaceId: WORKSPACE, threadId: "sthr_1", agentId: "agent_1", environmentId: "env_1", harness: "sandpi" };
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
  await mkdir(join(volume.path, "outputs"), { recursive: true });
  errors = [];
  session = {
    sessionId: id,
    workspaceId: WORKSPACE,
    environmentId: "env_1",
    agent,
    signal: new AbortController().signal,
    report: async (error) => void errors.push(error),
  };
  part = createOutputsPart({ db, blobs });
});

const out = (...names: string[]): string => join(volume.path, "outputs", ...names);
const listed = (): Promise<FileRecord[]> => listFiles(db, WORKSPACE, { sessionId: session.sessionId, limit: 1_000 });
const named = async (): Promise<Map<string, FileRecord>> => new Map((await listed()).map((file) => [file.filename, file]));
const contentOf = async (file: FileRecord | undefined): Promise<string> => text(await blobs.open(file?.sha256 ?? ""));
const idle = async (): Promise<void> => part.beforeIdle?.(session, volume);

test("what is there is listed, and downloadable; a path that is written again keeps its file", async () => {
  await part.fill?.(session, volume);
  await mkdir(out("charts"));
  await writeFile(out("report.md"), "# one");
  await writeFile(out("charts", "a.png"), "png");
  await writeFile(out("empty"), "");
  await idle();
  const first = await named();
  expect([...first.keys()].sort()).toEqual(["a.png", "empty", "report.md"]);
  expect(first.get("report.md")).toMatchObject({
    mimeType: "text/markdown",
    sizeBytes: 5,
    downloadable: true,
    sessionId: session.sessionId,
  });
  expect(first.get("a.png")?.mimeType).toBe("image/png");
  await idle();
  expect(await named()).toEqual(first);

  await writeFile(out("report.md"), "# two, longer");
  // As editors write: a new file in the place of the old one, with its size and times.
  await writeFile(out("new"), "PNG");
  await rename(out("new"), out("charts", "a.png"));
  await idle();
  const second = await named();
  expect(second.get("report.md")?.id).toBe(first.get("report.md")?.id);
  expect(second.get("a.png")?.id).toBe(first.get("a.png")?.id);
  expect([await contentOf(second.get("report.md")), await contentOf(second.get("a.png"))]).toEqual(["# two, longer", "PNG"]);

  // What is no longer there was delivered all the same.
  await rm(out("report.md"));
  await idle();
  expect((await named()).get("report.md")).toEqual(second.get("report.md"));
  expect(errors).toEqual([]);
});

test("a file that a client has deleted stays deleted until it is written again", async () => {
  await writeFile(out("a"), "1");
  await idle();
  const id = (await named()).get("a")?.id ?? "";
  await deleteFile(db, WORKSPACE, id);
  await idle();
  expect(await listed()).toEqual([]);
  await appendFile(out("a"), "2");
  await idle();
  const again = (await named()).get("a");
  expect(again?.id).not.toBe(id);
  expect(await contentOf(again)).toBe("12");
});

test("a file that a client has deleted stays deleted in a volume that was made anew", async () => {
  await writeFile(out("a"), "1");
  await writeFile(out("b"), "2");
  await idle();
  const before = await named();
  await deleteFile(db, WORKSPACE, before.get("a")?.id ?? "");
  await rm(out(), { recursive: true });
  await mkdir(out());
  await writeFile(out("a"), "1");
  await writeFile(out("b"), "2");
  await idle();
  expect(await listed()).toEqual([before.get("b")]);
  await writeFile(out("a"), "3");
  await idle();
  expect(await contentOf((await named()).get("a"))).toBe("3");
});

test("a client may delete a file while it is stored again", async () => {
  await writeFile(out("a"), "1");
  await idle();
  const [file] = await listed();
  const files = createFiles({ db, blobs, uploadsDownloadable: false });
  let deletion: Promise<unknown> | undefined;
  const isHeldUp = async (): Promise<boolean> => {
    const { rows } = await db.query(
      "select from pg_stat_activity where wait_event_type = 'Lock' and query like 'delete from files%'",
    );
    return rows.length > 0;
  };
  const content = await blobs.put(Readable.from([Buffer.from("12")]), { bytesMax: 2 });
  await db.transaction(async (tx) => {
    await tx.query("select from session_outputs where session_id = $1 for update", [session.sessionId]);
    let isOver = false;
    deletion ??= files.delete(WORKSPACE, file?.id ?? "");
    void deletion.then(
      () => (isOver = true),
      () => (isOver = true),
    );
    await expect.poll(async () => isOver || (await isHeldUp()), { timeout: 60_000 }).toBe(true);
    const written = { ...(file as FileRecord), id: createId("file"), ...content };
    await storeOutput(tx, session, { path: "a", stamp: "new", file: written });
  });
  await deletion;
  expect((await listed()).map(({ id }) => id)).not.toContain(file?.id);
});

test("no link leads out, and what is no file is nothing", async () => {
  await writeFile(join(dir, "secret"), "secret");
  await mkdir(join(dir, `outside_${count}`));
  await writeFile(join(dir, `outside_${count}`, "secret"), "secret");
  await symlink(join(dir, "secret"), out("link"));
  await symlink(join(dir, `outside_${count}`), out("directory"));
  await symlink("..", out("up"));
  await symlink("loop", out("loop"));
  await run("mkfifo", [out("pipe")]);
  await writeFile(out("good"), "good");
  await idle();
  expect([...(await named()).keys()]).toEqual(["good"]);
  expect(errors).toEqual([]);
});

test("odd names become names of files, and no two of them one file", async () => {
  const odd = ['a:b*c?"<>|\\d', "line\nbreak", "tab\tand \u007f", " ", "-rf", "日本語.pdf", "é".repeat(127)];
  for (const name of odd) await writeFile(out(name), name);
  // Neither is UTF-8.
  for (const byte of [0xfe, 0xff]) await writeFile(Buffer.concat([Buffer.from(out("raw-")), Buffer.of(byte)]), String(byte));
  await mkdir(out("x"));
  await writeFile(out("x", "a_b"), "1");
  await writeFile(out("a_b"), "2");
  await idle();
  const files = await listed();
  expect(files).toHaveLength(odd.length + 4);
  const names = files.map(({ filename }) => filename);
  expect(names).toEqual(expect.arrayContaining(["a_b_c______d", "line_break", " ", "-rf", "日本語.pdf", "a_b"]));
  expect(names.filter((name) => name === "raw-\ufffd")).toHaveLength(2);
  expect((await named()).get("日本語.pdf")?.mimeType).toBe("application/pdf");
  await idle();
  expect(await listed()).toEqual(files);
});

test("what is too large, too deep or too long is left out, and said once", async () => {
  await writeFile(out("large"), "");
  await truncate(out("large"), FILE_BYTES_MAX + 1);
  let deep = out();
  for (let level = 0; level < 40; level++) deep = join(deep, "d");
  await mkdir(deep, { recursive: true });
  await writeFile(join(deep, "x"), "");
  const long = "l".repeat(250);
  await mkdir(out(long, long, long, long), { recursive: true });
  await writeFile(out(long, long, long, long, long), "");
  await writeFile(out("good"), "good");
  await idle();
  expect([...(await named()).keys()]).toEqual(["good"]);
  expect(errors).toMatchObject([
    {
      type: "unknown_error",
      message: expect.stringMatching(
        /^Not listed of \/mnt\/session\/outputs: 1 file of more than 524288000 bytes; 2 files with too long a path/,
      ) as string,
    },
  ]);
  await idle();
  expect(errors).toHaveLength(1);
  await rm(out(), { recursive: true });
  await mkdir(out());
  await idle();
  expect(errors).toHaveLength(1);
});

test("of too many files a stated number is listed, and the server does other things meanwhile", async () => {
  part = createOutputsPart({ db, blobs, limits: { entriesMax: 1_000, filesMax: 30 } });
  for (let index = 0; index < 1_100; index++) writeFileSync(out(`f${index}`), String(index));
  let beats = 0;
  const heart = setInterval(() => beats++, 1);
  await idle();
  clearInterval(heart);
  expect(beats).toBeGreaterThan(2);
  const files = await listed();
  expect(files).toHaveLength(30);
  const rule = /: what is beyond the first 1000 files and directories; 970 files beyond the 30 files/;
  expect(errors).toMatchObject([{ message: expect.stringMatching(rule) as string }]);
  // Those that are listed stay up to date.
  const [known] = files;
  await writeFile(out(known?.filename ?? ""), "changed");
  await idle();
  expect(await contentOf((await named()).get(known?.filename ?? ""))).toBe("changed");
  expect(await listed()).toHaveLength(30);
});

test("a store that does not work is said; the next turn looks again, and is eager to", async () => {
  let isWorking = false;
  const put: Blobs["put"] = async (source, options) => {
    if (!isWorking) throw new BlobsUnavailable("full", new Error("ENOSPC"));
    return blobs.put(source, options);
  };
  part = createOutputsPart({ db, blobs: { put } });
  await part.fill?.(session, volume);
  await writeFile(out("a"), "a");
  await idle();
  expect(await listed()).toEqual([]);
  expect(errors).toMatchObject([{ message: expect.stringContaining("could not be stored now") as string }]);
  expect(await part.isEager?.(session)).toBe(true);
  isWorking = true;
  await idle();
  expect((await named()).has("a")).toBe(true);
  expect(await part.isEager?.(session)).toBe(false);
});

test("a server that dies before the session is idle leaves it to the next one", async () => {
  await part.fill?.(session, volume);
  await writeFile(out("a"), "a");
  const next = createOutputsPart({ db, blobs });
  expect(await next.isEager?.(session)).toBe(true);
  await next.beforeIdle?.(session, volume);
  expect((await named()).has("a")).toBe(true);
  expect(await next.isEager?.(session)).toBe(false);
});

test("what a stopped turn had no time for is done while the session rests", async () => {
  const controller = new AbortController();
  const stopped = { ...session, signal: controller.signal };
  let stores = 0;
  const put: Blobs["put"] = async (source, options) => {
    if (++stores === 1) controller.abort();
    options.signal?.throwIfAborted();
    return blobs.put(source, options);
  };
  part = createOutputsPart({ db, blobs: { put } });
  await part.fill?.(stopped, volume);
  await writeFile(out("a"), "a");
  await part.beforeIdle?.(stopped, volume);
  expect(await listed()).toEqual([]);
  await part.atRest?.(stopped, volume);
  expect((await named()).has("a")).toBe(true);
  expect(await part.isEager?.(session)).toBe(false);
});

test("what a turn writes while that of the one before is still looked at is not taken for seen", async () => {
  const controller = new AbortController();
  const stopped = { ...session, signal: controller.signal };
  let stores = 0;
  const put: Blobs["put"] = async (source, options) => {
    stores += 1;
    if (stores === 1) controller.abort();
    // The next turn begins.
    else if (stores === 2) await part.fill?.(session, volume);
    options.signal?.throwIfAborted();
    return blobs.put(source, options);
  };
  part = createOutputsPart({ db, blobs: { put } });
  await part.fill?.(stopped, volume);
  await writeFile(out("a"), "a");
  await part.beforeIdle?.(stopped, volume);
  await part.atRest?.(stopped, volume);
  expect((await named()).has("a")).toBe(true);
  expect(await part.isEager?.(session)).toBe(true);
  await idle();
  expect(await part.isEager?.(session)).toBe(false);
});

test("a session that is deleted while its outputs are looked at takes them along", async () => {
  const controller = new AbortController();
  const stopped = { ...session, signal: controller.signal };
  let stores = 0;
  const put: Blobs["put"] = async (source, options) => {
    if (++stores === 1) controller.abort();
    else await db.query("delete from sessions where id = $1", [session.sessionId]);
    options.signal?.throwIfAborted();
    return blobs.put(source, options);
  };
  part = createOutputsPart({ db, blobs: { put } });
  await part.fill?.(stopped, volume);
  await writeFile(out("a"), "a");
  await part.beforeIdle?.(stopped, volume);
  await part.atRest?.(stopped, volume);
  expect(stores).toBe(2);
  expect(await listed()).toEqual([]);
});

test("a file that is written while it is read is read again the next time", async () => {
  await writeFile(out("log"), "1");
  const put: Blobs["put"] = async (source, options) => {
    const ref = await blobs.put(source, options);
    await appendFile(out("log"), "2");
    return ref;
  };
  await createOutputsPart({ db, blobs: { put } }).beforeIdle?.(session, volume);
  await idle();
  expect(await contentOf((await named()).get("log"))).toBe("12");
});

test("the same content under two names is two files", async () => {
  await writeFile(out("a"), "same");
  await link(out("a"), out("b"));
  const handle = await open(out("c"), "w");
  await handle.write("same");
  await handle.close();
  await idle();
  const files = await listed();
  expect(new Set(files.map(({ id }) => id)).size).toBe(3);
  expect(new Set(files.map(({ sha256 }) => sha256)).size).toBe(1);
});
