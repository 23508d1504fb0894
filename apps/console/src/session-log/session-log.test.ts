import type { SessionEvent } from "@sandbox0/protocol";
import { afterEach, expect, test, vi } from "vitest";
import { message, queued, ScriptedSource } from "./scripted-source.fixture.ts";
import { createSessionLog, type LogOptions, type SessionLog } from "./session-log.ts";

const WAIT_MS = 60_000;
const logs: SessionLog[] = [];
afterEach(() => {
  for (const log of logs.splice(0)) log.stop();
});

function open(source: ScriptedSource, options: LogOptions = {}): SessionLog {
  const log = createSessionLog(source, { pageEvents: 10, wait: () => Promise.resolve(), ...options });
  logs.push(log);
  log.start();
  return log;
}

const until = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: WAIT_MS });
const ids = (events: readonly SessionEvent[]): string[] => events.map((event) => event.id);
const range = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, place) => `m${from + place}`);
const live = (log: SessionLog) => until(() => expect(log.get().connection).toBe("live"));

function filled(count: number): ScriptedSource {
  const source = new ScriptedSource();
  for (let n = 0; n < count; n += 1) source.log.push(message(n));
  return source;
}

test("it opens with the newest page, and follows", async () => {
  const source = filled(25);
  const log = open(source);
  await live(log);
  expect(ids(log.get().events)).toEqual(range(15, 25));
  expect(log.get().hasOlder).toBe(true);
  source.append(message(25));
  await until(() => expect(ids(log.get().events)).toEqual(range(15, 26)));
});

test("older events are put before the others, without a gap or a repetition, however many share a time", async () => {
  const log = open(filled(40));
  await live(log);
  while (log.get().hasOlder) {
    log.loadOlder();
    await until(() => expect(log.get().loading).toBeNull());
    expect(ids(log.get().events)).toEqual(range(40 - log.get().events.length, 40));
  }
  expect(ids(log.get().events)).toEqual(range(0, 40));
});

test("what came while the connection was gone is caught up with, once", async () => {
  const source = filled(5);
  const log = open(source);
  await live(log);
  source.failures.push(new Error("refused"), new Error("refused"));
  source.log.push(message(5), message(6));
  source.cut();
  await until(() => expect(ids(log.get().events)).toEqual(range(0, 7)));
  await live(log);
  // The same event by the stream, too.
  source.send(message(6));
  source.append(message(7));
  await until(() => expect(ids(log.get().events)).toEqual(range(0, 8)));
});

test("a first answer that fails is asked for again", async () => {
  const source = filled(5);
  source.failures.push(new Error("refused"));
  const log = open(source);
  await live(log);
  expect(ids(log.get().events)).toEqual(range(0, 5));
});

test("more than a page was missed: it is read page by page up to what is known", async () => {
  const source = filled(5);
  const log = open(source);
  await live(log);
  for (let n = 5; n < 40; n += 1) source.log.push(message(n));
  source.cut();
  await until(() => expect(ids(log.get().events)).toEqual(range(0, 40)));
});

test("too much was missed: the log begins anew at the present", async () => {
  const source = filled(5);
  const log = open(source);
  await live(log);
  for (let n = 5; n < 500; n += 1) source.log.push(message(n));
  source.cut();
  await until(() => expect(log.get().events.at(-1)?.id).toBe("m499"));
  expect(ids(log.get().events)).toEqual(range(450, 500));
  expect(log.get().hasOlder).toBe(true);
});

test("a queued message is pending, and moves to the log when it is taken up", async () => {
  const source = filled(2);
  source.pending.push(queued("q"));
  const log = open(source);
  await live(log);
  expect([ids(log.get().events), ids(log.get().pending)]).toEqual([["m0", "m1"], ["q"]]);
  source.pending.length = 0;
  source.append({ ...queued("q"), processed_at: new Date(1).toISOString() } as SessionEvent);
  await until(() => expect(ids(log.get().events)).toEqual(["m0", "m1", "q"]));
  expect(log.get().pending).toEqual([]);
});

test("what was sent is pending at once, unless it has been taken up already", async () => {
  const source = filled(1);
  const log = open(source);
  await live(log);
  log.admit([queued("q"), message(0)]);
  expect(ids(log.get().pending)).toEqual(["q"]);
  source.append({ ...queued("q"), processed_at: new Date(1).toISOString() } as SessionEvent);
  await until(() => expect(ids(log.get().events)).toEqual(["m0", "q"]));
  log.admit([queued("q")]);
  expect(log.get().pending).toEqual([]);
});

test("a message appears as it is written, and is replaced by itself", async () => {
  const source = filled(1);
  const log = open(source);
  await live(log);
  const delta = (text: string) =>
    ({
      type: "event_delta",
      event_id: "m1",
      delta: { type: "content_delta", index: 0, content: { type: "text", text } },
    }) as const;
  source.send({ type: "event_start", event: { type: "agent.message", id: "m1" } }, delta("Hel"), delta("lo"));
  await until(() => expect(log.get().previews).toEqual([{ id: "m1", type: "agent.message", text: "Hello" }]));
  source.append(message(1));
  await until(() => expect(ids(log.get().events)).toEqual(["m0", "m1"]));
  expect(log.get().previews).toEqual([]);
});

test("a request that ends without a message ends its preview", async () => {
  const source = filled(1);
  const log = open(source);
  await live(log);
  source.send({ type: "event_start", event: { type: "agent.message", id: "never" } });
  await until(() => expect(log.get().previews).toHaveLength(1));
  source.append({
    id: "s",
    type: "span.model_request_end",
    processed_at: new Date(9).toISOString(),
    model_request_start_id: "x",
    is_error: true,
    model_usage: { input_tokens: 0, output_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 },
  });
  await until(() => expect(log.get().previews).toEqual([]));
});

test("memory is bounded: scrolling up lets the newest go, scrolling down brings them back", async () => {
  const source = filled(60);
  const log = open(source, { eventsMax: 30 });
  await live(log);
  while (log.get().hasOlder) {
    log.loadOlder();
    await until(() => expect(log.get().loading).toBeNull());
    expect(log.get().events.length).toBeLessThanOrEqual(30);
  }
  expect(ids(log.get().events)).toEqual(range(0, 30));
  expect(log.get().hasNewer).toBe(true);
  source.append(message(60));
  while (log.get().hasNewer) {
    log.loadNewer();
    await until(() => expect(log.get().loading).toBeNull());
    expect(log.get().events.length).toBeLessThanOrEqual(30);
  }
  expect(ids(log.get().events)).toEqual(range(31, 61));
  source.append(message(61));
  await until(() => expect(log.get().events.at(-1)?.id).toBe("m61"));
});

test("a long live session keeps what is newest", async () => {
  const source = filled(5);
  const log = open(source, { eventsMax: 10 });
  await live(log);
  for (let n = 5; n < 25; n += 1) source.append(message(n));
  await until(() => expect(ids(log.get().events)).toEqual(range(15, 25)));
  expect(log.get().hasOlder).toBe(true);
});

test("a restore by somebody else: the log is read anew", async () => {
  const idle = (id: string, n: number): SessionEvent => ({
    id,
    type: "session.status_idle",
    processed_at: new Date(n).toISOString(),
    stop_reason: { type: "end_turn" },
    stop_details: null,
  });
  const source = new ScriptedSource();
  source.log.push(message(0), idle("first", 1), message(9), idle("second", 4));
  const log = open(source);
  await live(log);
  source.log.splice(2, 2);
  source.append(idle("restored", 6));
  await until(() => expect(ids(log.get().events)).toEqual(["m0", "first", "restored"]));
});

test("a session that is gone is not asked for again", async () => {
  const source = filled(1);
  source.failures.push(new Error("gone"));
  const log = open(source);
  await until(() => expect(log.get().connection).toBe("ended"));
  expect(log.get().error).toEqual(new Error("gone"));
});

test("a filtered log has only its types, live ones too", async () => {
  const source = filled(2);
  source.log.push(queued("u1"));
  const log = open(source, { types: ["agent.message"] });
  await live(log);
  source.append({ ...queued("u2"), processed_at: new Date(5).toISOString() } as SessionEvent, message(2));
  await until(() => expect(ids(log.get().events)).toEqual(["m0", "m1", "m2"]));
  expect(source.queries.every((query) => query.types?.[0] === "agent.message")).toBe(true);
});
