import { Readable } from "node:stream";
import { createTestDatabase } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BlobMissing, BlobsUnavailable } from "../blobs/port.ts";
import { CONVERSATION_FILE_BYTES_MAX } from "../domain/message-files.ts";
import type { TranscriptRow } from "../store/events.ts";
import { insertFile } from "../store/files.ts";
import { createPool, type Database } from "../store/pool.ts";
import { withMessageFiles } from "./message-files.ts";

const WORKSPACE = "wrkspc_1";
const contents = new Map<string, Buffer>();
let db: Database;
let drop: () => Promise<void>;
let count = 0;

beforeAll(async () => {
  const database = await createTestDatabase();
  drop = () => database.drop();
  db = createPool({ connectionString: database.connectionString, max: 4 });
  await db.query("insert into workspaces (id, name) values ($1, 'one'), ('wrkspc_2', 'two')", [WORKSPACE]);
});
afterAll(async () => {
  await db.close();
  await drop();
});

const blobs = {
  open: async (sha256: string) => {
    const content = contents.get(sha256);
    if (!content) throw new BlobMissing(sha256);
    return Readable.from([content]);
  },
};

async function store(content: Buffer, mimeType: string, workspaceId = WORKSPACE, sizeBytes = content.length): Promise<string> {
  const sha256 = (++count).toString(16).padStart(64, "0");
  await db.query("insert into blobs (sha256, size_bytes, touched_at) values ($1, $2, now())", [sha256, sizeBytes]);
  contents.set(sha256, content);
  const id = `file_${count}`;
  const facts = { sessionId: null, filename: `f${count}`, downloadable: false, createdAt: new Date(), expiresAt: null };
  await insertFile(db, workspaceId, { id, mimeType, sizeBytes, sha256, ...facts });
  return id;
}

const block = (type: string, file_id: string, more: object = {}) => ({ type, source: { type: "file", file_id }, ...more });
const row = (...content: object[]): TranscriptRow => ({
  id: `sevt_${content.length}`,
  processedAt: new Date(),
  body: { type: "user.message", content },
  native: null,
});
const show = (rows: TranscriptRow[]) => withMessageFiles({ db, blobs }, WORKSPACE, rows);
const contentOf = async (...content: object[]) => (await show([row(...content)]))[0]?.body.content;
const says = (text: string) => ({ type: "text", text });

test("images and PDFs are base64, texts are text, and everything else is as it was", async () => {
  const image = await store(Buffer.from("png"), "image/png");
  const pdf = await store(Buffer.from("%PDF"), "application/pdf");
  const csv = await store(Buffer.from("a,b\n"), "text/csv");
  const shown = await contentOf(
    says("before"),
    block("image", image),
    block("document", pdf, { title: "Paper", context: "c" }),
    block("document", csv),
  );
  expect(shown).toEqual([
    says("before"),
    { type: "image", source: { type: "base64", media_type: "image/png", data: Buffer.from("png").toString("base64") } },
    {
      type: "document",
      source: { type: "base64", media_type: "application/pdf", data: Buffer.from("%PDF").toString("base64") },
      title: "Paper",
      context: "c",
    },
    { type: "document", source: { type: "text", media_type: "text/plain", data: "a,b\n" }, title: "f3" },
  ]);
  const plain = [row(says("x")), { ...row(), body: { type: "span.model_request_start" } }];
  expect(await show(plain)).toBe(plain);
});

test("what cannot be shown is a sentence in its place", async () => {
  const binary = await store(Buffer.of(0xff, 0xfe), "text/plain");
  const lost = await store(Buffer.from("x"), "text/plain");
  contents.delete(`${"0".repeat(62)}${count.toString(16).padStart(2, "0")}`);
  const others = await store(Buffer.from("secret"), "text/plain", "wrkspc_2");
  const other = await store(Buffer.from("x"), "application/zip");
  const shown = (await contentOf(
    block("document", binary),
    block("document", lost),
    block("document", others),
    block("document", "file_gone"),
    block("image", other),
  )) as { text: string }[];
  expect(shown.map(({ text }) => text)).toEqual([
    `[document ${binary}: the file is not text in UTF-8]`,
    `[document ${lost}: the content of the file is lost]`,
    `[document ${others}: the file was deleted or has expired]`,
    "[document file_gone: the file was deleted or has expired]",
    `[image ${other}: the file can no longer be shown]`,
  ]);
});

test("of too many bytes the newest are shown", async () => {
  const half = CONVERSATION_FILE_BYTES_MAX / 2;
  const ids = [];
  for (let nth = 0; nth < 3; nth++) ids.push(await store(Buffer.alloc(half, "x"), "text/plain"));
  const rows = await show(ids.map((id) => row(block("document", id))));
  const kinds = rows.map(({ body }) => (body.content as { type: string }[])[0]?.type);
  expect(kinds).toEqual(["text", "document", "document"]);
  expect(JSON.stringify(rows[0]?.body)).toContain("left out");
});

test("a store that does not answer is told to the caller", async () => {
  const id = await store(Buffer.from("x"), "text/plain");
  const broken = { open: () => Promise.reject(new BlobsUnavailable("connection", new Error("503"))) };
  await expect(withMessageFiles({ db, blobs: broken }, WORKSPACE, [row(block("document", id))])).rejects.toThrow(
    BlobsUnavailable,
  );
});
