import { call, fail, hold, say } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { allow, countOf, message, only, saidBy, stopReasons, textOf, waitingIds } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();

verifies(
  ["queue.in-order", "queue.one-turn", "events.queued-null", "events.send-echo"],
  "three messages while the model answers: in order, once each, as one turn",
  async () => {
    const gate = server.gate();
    const session = await server.start({}, [hold(gate), say("First.")]);
    await gate.reached;
    const stream = await session.stream();
    const marker = server.play(say("All three."));
    const [one] = await session.send(message("one"));
    const two = await session.send(message("two"), message(`three ${marker}`));
    const queued = [one, ...two];
    expect(queued.map((event) => event && [event.type, event.processed_at])).toEqual(Array(3).fill(["user.message", null]));
    expect((await session.events()).slice(-3)).toEqual(queued);
    gate.open();
    const events = await session.rest();
    expect(only(events, "user.message").map((event) => textOf(event).split(" ")[0])).toEqual(["<play", "one", "two", "three"]);
    expect(
      only(events, "user.message")
        .slice(1)
        .map(({ id }) => id),
    ).toEqual(queued.map((event) => event?.id));
    expect(saidBy(events)).toEqual(["First.", "All three."]);
    const [request] = server.requests(marker);
    expect(request?.messages.at(-1)?.text).toBe(`one\ntwo\nthree ${marker}`);
    const shown = await stream.until((received) => received.some((event) => event.type === "session.status_idle"));
    expect(
      only(shown, "user.message")
        .filter(({ processed_at }) => processed_at !== null)
        .map(({ id }) => id),
    ).toEqual(queued.map((event) => event?.id));
  },
);

verifies("queue.turn-boundary", "a message during a turn's tool calls waits for the turn's end", async () => {
  const gate = server.gate();
  const first = server.play(
    call("bash", { command: "echo a" }),
    [hold(gate), call("bash", { command: "echo b" })],
    say("Both run."),
  );
  const session = await server.createSession({ agent: { make: { tools: [TOOLSET] } } });
  await session.send(message(first));
  await gate.reached;
  const next = server.play(say("And to you."));
  await session.send(message(next));
  gate.open();
  const events = await session.rest();
  expect(saidBy(events)).toEqual(["Both run.", "And to you."]);
  const firstTurn = server.requests(first).filter(({ messages }) => !messages.some(({ text }) => text.includes(next)));
  expect(firstTurn).toHaveLength(3);
  expect(server.requests(next)).toHaveLength(1);
});

verifies(["queue.initial-order", "sessions.initial-running"], "initial events are taken up in order, as one turn", async () => {
  const gate = server.gate();
  const marker = server.play([hold(gate), say("Hello to all of you.")]);
  const session = await server.createSession({
    initial_events: [
      { type: "user.message", content: [{ type: "text", text: "one" }] },
      { type: "user.message", content: [{ type: "text", text: `two ${marker}` }] },
    ],
  });
  expect(session.created.status).toBe("running");
  expect(session.created).not.toHaveProperty("initial_events");
  expect(only(await session.events(), "user.message").map(textOf)).toEqual(["one", `two ${marker}`]);
  await gate.reached;
  gate.open();
  const events = await session.rest();
  expect(saidBy(events)).toEqual(["Hello to all of you."]);
  expect(server.requests(marker)[0]?.messages[0]?.text).toBe(`one\ntwo ${marker}`);
});

verifies("queue.across-action", "a message queued before the client is asked is taken up after its answer", async () => {
  const gate = server.gate();
  const asking = { ...TOOLSET, default_config: { permission_policy: { type: "always_ask" as const } } };
  const session = await server.start({ tools: [asking] }, [hold(gate), call("bash", { command: "echo a" })], say("Ran."));
  await gate.reached;
  const [queued] = await session.send(message(server.play(say("Now you."))));
  gate.open();
  const asked = await session.rest();
  expect(stopReasons(asked)).toEqual(["requires_action"]);
  expect(asked.at(-1)).toMatchObject({ id: queued?.id, processed_at: null });
  await session.send(allow(waitingIds(asked)[0] ?? ""));
  const events = await session.rest();
  expect(saidBy(events)).toEqual(["Ran.", "Now you."]);
  expect(countOf(events, "user.message")).toBe(2);
});

verifies(
  ["errors.flush", "errors.resume"],
  "retries exhausted: what was queued starts no turn, and a new message does",
  async () => {
    const gate = server.gate();
    const marker = server.play([hold(gate), fail(400, { message: "no such thing" })]);
    const session = await server.createSession();
    await session.send(message(marker));
    await gate.reached;
    const flushed = server.play(say("Never said."));
    const [queued] = await session.send(message(flushed));
    gate.open();
    const events = await session.rest();
    expect(stopReasons(events)).toEqual(["retries_exhausted"]);
    expect(only(events, "user.message").find(({ id }) => id === queued?.id)?.processed_at).not.toBeNull();
    expect(server.requests(flushed)).toEqual([]);
    await session.send(message(server.play(say("Here again."))));
    expect(saidBy(await session.rest())).toEqual(["Here again."]);
  },
);
