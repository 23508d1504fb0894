import type { AuditRow } from "@sandbox0/egress";
import { createTestDatabase, type TestDatabase } from "@sandbox0/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { DatabaseUnavailable } from "../store/database-error.ts";
import { type EgressRow, listEgressRows } from "../store/egress-audit.ts";
import { createPool, type Database } from "../store/pool.ts";
import type { Queryable } from "../store/query.ts";
import {
  AUDIT_RETENTION_MS,
  createAuditSink,
  type DurableAuditSink,
  ROWS_A_MINUTE_MAX,
  SUMS_A_MINUTE_MAX,
  USES_A_MINUTE_MAX,
} from "./audit-sink.ts";
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
afterEach(() => void vi.useRealTimers());
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

/** Rows of many sandboxes, none of which has too many. */
const ofMany = (n: number, each: AuditRow): AuditRow => ({ ...each, sandboxId: `sandbox_${n % 100}` });

const hostsOf = async (sessionId: string): Promise<(string | null)[]> =>
  (await listEgressRows(db, sessionId, { before: null, limit: 1000 })).map(({ host }) => host);

test("writes in the background, in order, in batches", async () => {
  const sink = openSink();
  for (let n = 0; n < 2_500; n++) sink.record(ofMany(n, row("sesn_many", `h${n}`)));
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
  for (let n = 0; n < ROW_QUEUE_MAX + 10; n++) sink.record(ofMany(n, row("sesn_flood")));
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

const MINUTE_MS = 60_000;

/** A sink whose minutes end with `vi.advanceTimersByTime`. */
function openSinkOfFakeMinutes(): DurableAuditSink {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  return openSink();
}

const rowsOf = (sessionId: string): Promise<EgressRow[]> => listEgressRows(db, sessionId, { before: null, limit: 5000 });
const bytesOf = (rows: readonly EgressRow[]): number => rows.reduce((bytes, { bytesOut }) => bytes + bytesOut, 0);

test("a sandbox that is refused without end gets so many rows a minute, and all that it sent out", async () => {
  const sink = openSinkOfFakeMinutes();
  const denied: AuditRow = { ...row("sesn_denied"), verdict: "denied", reason: "host_not_allowed" };
  // The times of rows are those of their starts, and come in no order.
  for (let i = 0; i < ROWS_A_MINUTE_MAX.denied + 50; i++) sink.record({ ...denied, at: new Date(i * MINUTE_MS) });
  for (let i = 0; i < 50; i++) sink.record(row("sesn_denied"));
  sink.record({ ...denied, sandboxId: "sandbox_2", sessionId: "sesn_other" });
  vi.advanceTimersByTime(MINUTE_MS);
  sink.record(denied);
  await sink.flush();
  const rows = await rowsOf("sesn_denied");
  const reasons = rows.map(({ reason }) => reason);
  expect(reasons.filter((reason) => reason === "host_not_allowed")).toHaveLength(ROWS_A_MINUTE_MAX.denied + 1);
  expect(reasons.filter((reason) => reason === "more_denials")).toHaveLength(1);
  expect(reasons.filter((reason) => reason === null)).toHaveLength(50);
  expect(await hostsOf("sesn_other")).toHaveLength(1);
});

test("a sandbox that asks for hosts that fail without end gets so many rows a minute", async () => {
  const sink = openSinkOfFakeMinutes();
  const failed: AuditRow = { ...row("sesn_failed"), verdict: "failed", reason: "name_not_found" };
  for (let i = 0; i < ROWS_A_MINUTE_MAX.failed + 500; i++) sink.record({ ...failed, host: `h${i}.example.com` });
  vi.advanceTimersByTime(MINUTE_MS);
  await expect.poll(() => hostsOf("sesn_failed"), { timeout: 60_000 }).toHaveLength(ROWS_A_MINUTE_MAX.failed + 1);
  const [sum] = await rowsOf("sesn_failed");
  expect(sum).toMatchObject({ verdict: "failed", reason: "more_failures", bytesOut: 500 });
});

test("requests without end to one host are summed for each minute, with all their bytes", async () => {
  const sink = openSinkOfFakeMinutes();
  const at = (second: number): Date => new Date(Date.UTC(2026, 0, 1, 0, 0, second));
  const many = ROWS_A_MINUTE_MAX.allowed;
  for (let i = 0; i < many; i++) sink.record(row("sesn_many_requests"));
  for (const second of [20, 10, 30]) sink.record({ ...row("sesn_many_requests"), at: at(second), durationMs: 2_000, bytesIn: 7 });
  sink.record({ ...row("sesn_many_requests"), port: 80 });
  vi.advanceTimersByTime(MINUTE_MS);
  await expect.poll(() => hostsOf("sesn_many_requests"), { timeout: 60_000 }).toHaveLength(1000);
  await sink.flush();
  const rows = await rowsOf("sesn_many_requests");
  expect(rows).toHaveLength(many + 2);
  expect(rows.slice(0, 2)).toMatchObject([
    { port: 80, reason: "more_requests", bytesOut: 1 },
    { at: at(10), durationMs: 22_000, host: "a.example.com", port: 443, verdict: "allowed", bytesOut: 3, bytesIn: 21 },
  ]);
});

test("requests to names without end are summed in a bounded number of rows, with all their bytes", async () => {
  const sink = openSink();
  const many = ROWS_A_MINUTE_MAX.allowed + SUMS_A_MINUTE_MAX;
  for (let i = 0; i < many + 700; i++) sink.record(row("sesn_names", `h${i}.example.com`));
  await sink.flush();
  const rows = await rowsOf("sesn_names");
  expect(rows).toHaveLength(many + 1);
  expect(bytesOf(rows)).toBe(many + 700);
  expect(rows[0]).toMatchObject({ host: null, port: null, verdict: "allowed", reason: "more_requests", bytesOut: 700 });
});

test("the use of a credential at a host has a row of its own at once, however many rows there were before", async () => {
  const sink = openSinkOfFakeMinutes();
  for (let i = 0; i < ROWS_A_MINUTE_MAX.allowed + 700; i++) sink.record(row("sesn_used", `h${i}.example.com`));
  const hosts = Array.from({ length: SUMS_A_MINUTE_MAX + 20 }, (_, i) => `api${i}.example.com`);
  for (const host of hosts) sink.record({ ...row("sesn_used", host), credentialIds: ["vcrd_1"] });
  // No minute has ended, and nothing was flushed.
  await expect.poll(() => hostsOf("sesn_used"), { timeout: 60_000 }).toEqual(expect.arrayContaining(hosts));
  for (let i = 0; i < 5; i++) sink.record({ ...row("sesn_used", "api0.example.com"), credentialIds: ["vcrd_1"] });
  sink.record({ ...row("sesn_used", "api0.example.com"), credentialIds: ["vcrd_1", "vcrd_2"] });
  sink.record({ ...row("sesn_used", "api1.example.com"), verdict: "failed", reason: "unreachable", credentialIds: ["vcrd_1"] });
  await sink.close();
  const used = (await rowsOf("sesn_used")).filter(({ credentialIds }) => credentialIds.length > 0);
  expect(used).toHaveLength(hosts.length + 3);
  const at = (host: string) => used.filter((each) => each.host === host);
  expect(at("api0.example.com").map((each) => [each.credentialIds, each.reason, each.bytesOut])).toEqual([
    [["vcrd_1"], "more_requests", 5],
    [["vcrd_1", "vcrd_2"], null, 1],
    [["vcrd_1"], null, 1],
  ]);
  expect(at("api1.example.com").map(({ reason }) => reason)).toEqual(["unreachable", null]);
});

test("uses of credentials at hosts without end have a bounded number of rows, which name the credentials", async () => {
  const sink = openSinkOfFakeMinutes();
  const use = (host: string, ...credentialIds: string[]) => sink.record({ ...row("sesn_uses", host), credentialIds });
  const many = ROWS_A_MINUTE_MAX.allowed + USES_A_MINUTE_MAX;
  for (let i = 0; i < many + 300; i++) use(`h${i}.example.com`, "vcrd_1");
  for (let i = 0; i < 5; i++) use(`h${i}.example.org`, ...(i % 2 === 0 ? ["vcrd_1", "vcrd_2"] : ["vcrd_2", "vcrd_1"]));
  // Uses take no places of what uses no credential.
  for (let i = 0; i < SUMS_A_MINUTE_MAX; i++) sink.record(row("sesn_uses", `plain${i}.example.com`));
  vi.advanceTimersByTime(MINUTE_MS);
  await sink.flush();
  const rows = await rowsOf("sesn_uses");
  expect(rows).toHaveLength(many + SUMS_A_MINUTE_MAX + 2);
  expect(rows.slice(0, 2)).toMatchObject([
    { host: null, port: null, reason: "more_requests", bytesOut: 5, credentialIds: ["vcrd_1", "vcrd_2"] },
    { host: null, port: null, reason: "more_requests", bytesOut: 300, credentialIds: ["vcrd_1"] },
  ]);
  expect(rows.filter(({ host }) => host?.startsWith("plain"))).toHaveLength(SUMS_A_MINUTE_MAX);
  expect(bytesOf(rows)).toBe(many + 300 + 5 + SUMS_A_MINUTE_MAX);
}, 60_000);

test("no number of sets of credentials has rows without end, and every credential is named", async () => {
  const sink = openSinkOfFakeMinutes();
  const many = ROWS_A_MINUTE_MAX.allowed + USES_A_MINUTE_MAX;
  for (let i = 0; i < many + SUMS_A_MINUTE_MAX + 50; i++)
    sink.record({ ...row("sesn_sets", `h${i}.example.com`), credentialIds: [`vcrd_${i}`] });
  vi.advanceTimersByTime(MINUTE_MS);
  await sink.flush();
  const rows = await rowsOf("sesn_sets");
  expect(rows).toHaveLength(many + SUMS_A_MINUTE_MAX + 1);
  expect([rows[0]?.host, rows[0]?.credentialIds.length, rows[0]?.bytesOut]).toEqual([null, 50, 50]);
}, 60_000);

test("what is recorded after the end is counted as lost, however many rows there were before", async () => {
  const sink = openSink();
  for (let i = 0; i < ROWS_A_MINUTE_MAX.allowed; i++) sink.record(row("sesn_closed"));
  await sink.flush();
  await sink.close();
  for (let i = 0; i < 3; i++) sink.record(row("sesn_closed"));
  expect(sink.dropped()).toBe(3);
}, 60_000);
