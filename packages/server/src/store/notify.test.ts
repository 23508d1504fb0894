import { randomUUID } from "node:crypto";
import { createTestDatabase, type TestDatabase, until } from "@sandbox0/testkit";
import pg from "pg";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { createNotifier, type Notifier, PAYLOAD_BYTES_MAX, PayloadRejected } from "./notify.ts";
import { createPool, type Database } from "./pool.ts";

let database: TestDatabase;
let db: Database;
const open: Notifier[] = [];
beforeAll(async () => {
  database = await createTestDatabase();
  db = createPool({ connectionString: database.connectionString, max: 2 });
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((notifier) => notifier.close()));
});
afterAll(async () => {
  await db.close();
  await database.drop();
});

interface Listener {
  name: string;
  notifier: Notifier;
  heard: string[];
  errors: unknown[];
  reconnects: () => number;
  /** Heard a greeting of another process. */
  greeted: () => boolean;
}

async function listen(channel = "talk"): Promise<Listener> {
  const errors: unknown[] = [];
  const heard: string[] = [];
  const name = randomUUID();
  let reconnects = 0;
  let greeted = false;
  const notifier = createNotifier({ connectionString: database.connectionString, onError: (error) => errors.push(error) });
  open.push(notifier);
  notifier.subscribe(channel, (payload) => heard.push(payload));
  notifier.onReconnect(() => {
    reconnects += 1;
  });
  notifier.subscribe("greeting", (from) => {
    greeted ||= from !== name;
  });
  await notifier.ready;
  return { name, notifier, heard, errors, reconnects: () => reconnects, greeted: () => greeted };
}

/** Two processes that know of each other: a newcomer's greeting takes a moment. */
async function pair(): Promise<[Listener, Listener]> {
  const here = await listen();
  const there = await listen();
  for (const [from, to] of [
    [here, there],
    [there, here],
  ] as const) {
    await until(() => {
      from.notifier.publish("greeting", from.name);
      return to.greeted();
    });
  }
  return [here, there];
}

/** The connections of notifiers, as Postgres sees them. */
async function backends(): Promise<number[]> {
  const { rows } = await db.query<{ pid: number }>(
    "select pid from pg_stat_activity where application_name = 'sandbox0 notifier' and datname = current_database()",
  );
  return rows.map(({ pid }) => pid);
}

test("a hint reaches this process at once and the others soon, each one time", async () => {
  const [here, there] = await pair();
  here.notifier.publish("talk", "one");
  expect(here.heard, "not within publish itself").toEqual([]);
  await Promise.resolve();
  expect(here.heard).toEqual(["one"]);
  await until(() => there.heard.length > 0);
  // Whatever would still come of the first is there when the second is.
  there.notifier.publish("talk", "two");
  await until(() => here.heard.length > 1);
  here.notifier.publish("talk", "three");
  await until(() => there.heard.length > 2);
  expect(here.heard).toEqual(["one", "two", "three"]);
  expect(there.heard).toEqual(["one", "two", "three"]);
});

test("many hints at once arrive whole and in order", async () => {
  const [here, there] = await pair();
  const sent = Array.from({ length: 5_000 }, (_, index) => `${index}: 'quoted', {"json": "\\\\ é 😀"}`);
  for (const payload of sent) here.notifier.publish("talk", payload);
  await until(() => there.heard.length === sent.length, { describe: () => there.heard.length });
  expect(there.heard).toEqual(sent);
});

test("only subscribers of the channel hear it, until they end their subscription", async () => {
  const here = await listen("talk");
  const there = await listen("other");
  const late: string[] = [];
  const off = there.notifier.subscribe("talk", (payload) => late.push(payload));
  await until(async () => {
    here.notifier.publish("talk", "x");
    return late.length > 0;
  });
  off();
  const count = late.length;
  here.notifier.publish("talk", "not for you");
  here.notifier.publish("other", "the end");
  await until(() => there.heard.includes("the end"));
  expect(late).toHaveLength(count);
});

test("a lost connection comes back, and says that hints may be missing", async () => {
  const [here, there] = await pair();
  await until(() => here.reconnects() >= 1 && there.reconnects() >= 1);
  const before = [here.reconnects(), there.reconnects()];
  await db.query("select pg_terminate_backend(pid) from unnest($1::int[]) as pid", [await backends()]);
  await until(() => here.reconnects() > (before[0] ?? 0) && there.reconnects() > (before[1] ?? 0));
  expect(there.errors[0]).toMatchObject({ code: "database_unavailable" });
  await until(() => {
    here.notifier.publish("talk", "again");
    return there.heard.includes("again");
  });
});

test("without a connection publishing still works locally and throws nothing", async () => {
  const errors: unknown[] = [];
  const notifier = createNotifier({
    connectionString: "postgresql:///none?host=%2Fnowhere",
    onError: (error) => errors.push(error),
  });
  open.push(notifier);
  const heard: string[] = [];
  notifier.subscribe("talk", (payload) => heard.push(payload));
  notifier.publish("talk", "alone");
  await until(() => heard.length === 1 && errors.length > 0);
  expect(errors[0]).toMatchObject({ code: "database_unavailable", reason: "connection" });
});

test("a payload that Postgres would refuse is reported, and those beside it arrive", async () => {
  const [here, there] = await pair();
  here.notifier.publish("talk", "é".repeat(PAYLOAD_BYTES_MAX / 2 + 1));
  here.notifier.publish("talk", "nul\0");
  here.notifier.publish("talk", "é".repeat(PAYLOAD_BYTES_MAX / 2));
  await until(() => there.heard.length > 0);
  expect(there.heard.map((payload) => payload.length)).toEqual([PAYLOAD_BYTES_MAX / 2]);
  expect(here.errors).toEqual([expect.any(PayloadRejected), expect.any(PayloadRejected)]);
});

test("a subscriber that throws is reported, and the next one hears", async () => {
  const here = await listen();
  const heard: string[] = [];
  const bug = new Error("bug");
  here.notifier.subscribe("bad", () => {
    throw bug;
  });
  here.notifier.subscribe("bad", (payload) => heard.push(payload));
  here.notifier.publish("bad", "x");
  await until(() => heard.length === 1);
  expect(here.errors).toEqual([bug]);
});

test("a process alone sends nothing; it sends from the moment another one listens", async () => {
  // Those of the tests before count as others until Postgres has seen them go.
  await until(async () => (await backends()).length === 0);
  // Listens, and is no process of ours: it hears what is really sent.
  const wire = new pg.Client({ connectionString: database.connectionString });
  await wire.connect();
  const sent: (string | undefined)[] = [];
  wire.on("notification", ({ payload }) => sent.push(payload?.split(":")[1]));
  await wire.query("listen talk");
  const here = await listen();
  here.notifier.publish("talk", "alone");
  const there = await listen();
  await until(() => {
    here.notifier.publish("talk", "in company");
    return there.heard.length > 0 && sent.length > 0;
  });
  expect(sent).not.toContain("alone");
  await wire.end();
});

test("close sends what waits", async () => {
  const [here, there] = await pair();
  await until(() => {
    here.notifier.publish("talk", "first");
    return there.heard.length > 0;
  });
  here.notifier.publish("talk", "last");
  await here.notifier.close();
  await until(() => there.heard.at(-1) === "last");
});
