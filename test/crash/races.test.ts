import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createPostgresProxy, type PostgresProxy } from "./postgres-proxy.ts";
import { countOf, Race } from "./race.ts";
import type { ServerProcess } from "./server-process.ts";
import { createStage, type EventParams, type Stage } from "./stage.ts";

/** The rows of docs/races.md that two requests or a request and a turn can make, in both orders. */
let stage: Stage;
let proxy: PostgresProxy;
let server: ServerProcess;
beforeAll(async () => {
  stage = await createStage();
  proxy = await createPostgresProxy(stage.database.connectionString);
  server = await stage.startServer({ databaseUrl: proxy.connectionString });
});
afterAll(async () => {
  await stage.close();
  await proxy.close();
});

const INTERRUPT: EventParams = { type: "user.interrupt" };
const newRace = () => new Race(stage, proxy, server);
const resultFor = (id: string, text = "forty-two"): EventParams => {
  return { type: "user.custom_tool_result", custom_tool_use_id: id, content: [{ type: "text", text }] };
};
const allow = (id: string): EventParams => ({ type: "user.tool_confirmation", tool_use_id: id, result: "allow" });

describe("a message and the end of the turn", () => {
  test("the message first: it is taken up in the same turn", async () => {
    const race = newRace();
    await race.createSession();
    await race.sayUntilAsked("only talk");
    const settling = race.holdNext("the lock of a decision", "before");
    race.letModelGoOn();
    await settling;
    await race.say("only talk");
    race.resume();
    const record = await race.outcome();
    expect([countOf(record, "session.status_running"), countOf(record, "agent.message")]).toEqual([1, 2]);
  });

  test("the end first: the message starts the next turn", async () => {
    const race = newRace();
    await race.createSession();
    await race.sayUntilAsked("only talk");
    const settling = race.holdNext("the commit of a decision", "before");
    race.letModelGoOn();
    await settling;
    const said = race.say("only talk");
    await race.untilBlocked();
    race.resume();
    await said;
    const record = await race.outcome();
    expect([countOf(record, "session.status_running"), countOf(record, "agent.message")]).toEqual([2, 2]);
  });
});

describe("an interrupt and the end of the turn", () => {
  test("the interrupt first: it ends the turn", async () => {
    const race = newRace();
    await race.createSession();
    await race.sayUntilAsked("only talk");
    const settling = race.holdNext("the lock of a decision", "before");
    race.letModelGoOn();
    await settling;
    await race.send(INTERRUPT);
    race.resume();
    const record = await race.outcome();
    expect(record.events.slice(-4).map((event) => event.type)).toEqual([
      "user.interrupt",
      "session.thread_status_idle",
      "session.usage",
      "session.status_idle",
    ]);
  });

  test("the end first: the interrupt finds nothing to stop", async () => {
    const race = newRace();
    await race.createSession();
    await race.sayUntilAsked("only talk");
    const settling = race.holdNext("the commit of a decision", "before");
    race.letModelGoOn();
    await settling;
    const sent = race.send(INTERRUPT);
    await race.untilBlocked();
    race.resume();
    await sent;
    const record = await race.outcome();
    expect(record.events.slice(-2).map((event) => event.type)).toEqual(["session.status_idle", "user.interrupt"]);
  });
});

describe.each([
  ["a response that asks for a call", "a response", 0],
  ["the result of a call", "a result", 1],
] as const)("an interrupt and %s", (_, moment, effects) => {
  test.each(["before", "after"] as const)("the interrupt comes %s it is on the log: it is there whole, once", async (when) => {
    const race = newRace();
    await race.createSession();
    await race.sayUntilAsked("one after the other");
    const written = race.holdNext(moment, when);
    race.letModelGoOn();
    await written;
    await race.send(INTERRUPT);
    race.resume();
    const record = await race.outcome();
    expect(countOf(record, "agent.tool_use")).toBe(1);
    expect(countOf(record, "user.interrupt")).toBe(1);
    expect(record.events.filter(({ type, body }) => type === "agent.tool_result" && body.is_error === false)).toHaveLength(
      effects,
    );
    expect(record.head.stopReason).toEqual({ type: "end_turn" });
  });
});

describe("the client's answers and the end of the turn that waits for them", () => {
  test("the answers first: the turn goes on and never waits", async () => {
    const race = newRace();
    await race.createSession("asking");
    await race.sayUntilAsked("ask the client");
    const settling = race.holdNext("the lock of a decision", "before");
    race.letModelGoOn();
    await settling;
    const [[bash = ""], [lookup = ""]] = [await race.callsOf("bash"), await race.callsOf("lookup")];
    await race.send(allow(bash), resultFor(lookup));
    race.resume();
    const record = await race.outcome();
    expect([countOf(record, "session.status_running"), countOf(record, "session.status_idle")]).toEqual([1, 1]);
  });

  test("the end first: the answers start the next turn", async () => {
    const race = newRace();
    await race.createSession("asking");
    await race.sayUntilAsked("ask the client");
    const settling = race.holdNext("the commit of a decision", "before");
    race.letModelGoOn();
    await settling;
    const [[bash = ""], [lookup = ""]] = [await race.callsOf("bash"), await race.callsOf("lookup")];
    const answered = race.send(allow(bash), resultFor(lookup));
    await race.untilBlocked();
    race.resume();
    await answered;
    const record = await race.outcome();
    expect([countOf(record, "session.status_running"), countOf(record, "session.status_idle")]).toEqual([2, 2]);
  });
});

describe("two requests at once", () => {
  const atOnce = async (race: Race, first: EventParams[], second: EventParams[]) => {
    const committing = race.holdNext("the commit of a decision", "before");
    const one = race.send(...first);
    await committing;
    const other = race.send(...second);
    await race.untilBlocked();
    race.resume();
    return Promise.allSettled([one, other]);
  };
  const parked = async (): Promise<[Race, string]> => {
    const race = newRace();
    await race.createSession("asking");
    await race.say("ask the client");
    await race.outcome();
    return [race, (await race.callsOf("lookup"))[0] ?? ""];
  };

  test("with the same answer: both are told that it is there, and it is there once", async () => {
    const [race, id] = await parked();
    const [one, other] = await atOnce(race, [resultFor(id)], [resultFor(id)]);
    expect([one.status, other.status]).toEqual(["fulfilled", "fulfilled"]);
    expect(countOf(await race.outcome(), "user.custom_tool_result")).toBe(1);
  });

  test("with different answers: the first counts, the second is refused", async () => {
    const [race, id] = await parked();
    const [one, other] = await atOnce(race, [resultFor(id)], [resultFor(id, "another")]);
    expect(one.status).toBe("fulfilled");
    expect(other).toMatchObject({ status: "rejected", reason: { status: 400 } });
    expect(countOf(await race.outcome(), "user.custom_tool_result")).toBe(1);
  });

  test("with a message each, to an idle session: both are on the log, in the order of their answers", async () => {
    const race = newRace();
    await race.createSession();
    const text = (value: string): EventParams[] => [
      { type: "user.message", content: [{ type: "text", text: `only talk, ${value} [${race.tag}]` }] },
    ];
    const [one, other] = await atOnce(race, text("one"), text("two"));
    expect([one.status, other.status]).toEqual(["fulfilled", "fulfilled"]);
    const said = (await race.outcome()).events.filter((event) => event.type === "user.message");
    expect(said.map((event) => /one|two/.exec(JSON.stringify(event.body.content))?.[0])).toEqual(["one", "two"]);
  });
});
