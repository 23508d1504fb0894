import type { AuditRow } from "@sandbox0/egress";
import { createTestDatabase, type TestDatabase } from "@sandbox0/testkit";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { DatabaseUnavailable } from "../store/database-error.ts";
import { listEgressRows } from "../store/egress-audit.ts";
import { createPool, type Database } from "../store/pool.ts";
import type { Queryable } from "../store/query.ts";
import { AUDIT_RETENTION_MS, createAuditSink, DENIALS_A_MINUTE_MAX, type DurableAuditSink } from "./audit-sink.ts";
import { ROW_QUEUE_MAX } from "../store/row-queue.ts";

let database: TestDatabase;
let db: Database;
/** What the database says to the next statements instead of running them. */
let failures: Error[];
let errors: unknown[];
const sinks: DurableAuditSink[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  db = createPool({ connectionString: database.connectionString, max: 4 });
});
beforeEach(() => {
  failures = [];
  errors = [];
});
afterAll(async () => {
  for (const sink of sinks) await sink.close();
  await db.close();
  await database.drop();
});

function openSink(sessionOf: (sandboxId: string) => string | null = () => null): DurableAuditSink {
  const query: Queryable["query"] = (...statement) => {
    const failure = failures.shift();
    return failure === undefined ? db.query(...statement) : Promise.reject(failure);
  };
  const sink = createAuditSink({ db: { query }, sessionOf, onError: (error) => void errors.push(error) });
  sinks.push(sink);
  return sink;
}

const row = (sessionId: string | null, host = "a.example.com"): AuditRow => ({
  workspaceId: "wrkspc_1",
  sessionId,
  sandboxId: "sandbox_1",
  at: new Date(),
  durationMs: 1,
  host,
  port: 443,
  verdict: "allowed",
  reason: null,
  bytesOut: 1,
  bytesIn: 1,
  credentialIds: [],
});

const hostsOf = async (sessionId: string): Promise<(string | null)[]> =>
  (await listEgressRows(db, sessionId, { before: null, limit: 1000 })).map(({ host }) => host);

test("writes in the background, in order, in batches", async () => {
  const sink = openSink();
  for (let n = 0; n < 2_500; n++) sink.record(row("sesn_many", `h${n}`));
  await expect.poll(() => hostsOf("sesn_many"), { timeout: 60_000 }).toContain("h2499");
  await sink.flush();
  expect((await hostsOf("sesn_many")).slice(0, 2)).toEqual(["h2499", "h2498"]);
});

test("names the session of the sandbox when the gateway could not", async () => {
  const sink = openSink((sandboxId) => (sandboxId === "sandbox_1" ? "sesn_found" : null));
  sink.record(row(null));
  await sink.flush();
  expect(await hostsOf("sesn_found")).toEqual(["a.example.com"]);
});

const away = (): Error => new DatabaseUnavailable("connection", false);

test("waits for a database that is away, and loses nothing", async () => {
  const sink = openSink();
  failures = [away(), away()];
  sink.record(row("sesn_away"));
  await sink.flush();
  expect(await hostsOf("sesn_away")).toEqual(["a.example.com"]);
  expect([errors.length, sink.dropped()]).toEqual([2, 0]);
}, 60_000);

test("writes a row once although the answer of the database was lost", async () => {
  let lost = 0;
  const query: Queryable["query"] = async (...statement) => {
    const answer = await db.query<never>(...statement);
    if (lost++ === 0) throw new DatabaseUnavailable("connection", true);
    return answer;
  };
  const sink = createAuditSink({ db: { query }, sessionOf: () => null, onError: (error) => void errors.push(error) });
  sinks.push(sink);
  sink.record(row("sesn_once", "one"));
  sink.record(row("sesn_once", "two"));
  await sink.flush();
  expect(await hostsOf("sesn_once")).toEqual(["two", "one"]);
  expect([errors.length, sink.dropped()]).toEqual([1, 0]);
}, 60_000);

test("drops, and counts, what the database refuses for good and what its queue cannot hold", async () => {
  const sink = openSink();
  failures = [new Error("no such column")];
  sink.record(row("sesn_refused"));
  await sink.flush();
  expect(sink.dropped()).toBe(1);
  failures = Array.from({ length: ROW_QUEUE_MAX }, away);
  for (let n = 0; n < ROW_QUEUE_MAX + 10; n++) sink.record(row("sesn_flood"));
  expect(sink.dropped()).toBe(11);
  await sink.close();
  expect(sink.dropped()).toBe(11 + ROW_QUEUE_MAX);
}, 120_000);

test("removes rows that are old enough, and no others", async () => {
  const sink = openSink();
  const now = new Date();
  const ago = (ms: number): Date => new Date(now.getTime() - ms);
  sink.record({ ...row("sesn_old", "old"), at: ago(AUDIT_RETENTION_MS + 1) });
  sink.record({ ...row("sesn_old", "young"), at: ago(AUDIT_RETENTION_MS - 60_000) });
  await sink.flush();
  await sink.removeOld(now);
  expect(await hostsOf("sesn_old")).toEqual(["young"]);
});

test("a sandbox that is refused without end gets so many rows a minute, and all that it sent out", async () => {
  const sink = openSink();
  const at = new Date(60_000);
  const denied: AuditRow = { ...row("sesn_denied"), verdict: "denied", reason: "host_not_allowed", at };
  for (let i = 0; i < DENIALS_A_MINUTE_MAX + 50; i++) sink.record(denied);
  for (let i = 0; i < 50; i++) sink.record({ ...row("sesn_denied"), at });
  sink.record({ ...denied, sandboxId: "sandbox_2", sessionId: "sesn_other" });
  sink.record({ ...denied, at: new Date(120_000) });
  await sink.flush();
  const rows = await listEgressRows(db, "sesn_denied", { before: null, limit: 2000 });
  const reasons = rows.map(({ reason }) => reason);
  expect(reasons.filter((reason) => reason === "host_not_allowed")).toHaveLength(DENIALS_A_MINUTE_MAX + 1);
  expect(reasons.filter((reason) => reason === "more_denials")).toHaveLength(1);
  expect(reasons.filter((reason) => reason === null)).toHaveLength(50);
  expect(await hostsOf("sesn_other")).toHaveLength(1);
});
