import { call, hold, say } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { refusedAsInvalid } from "./fixture/refused.ts";
import {
  allow,
  answer,
  countOf,
  deny,
  interrupt,
  last,
  message,
  saidBy,
  systemMessage,
  typesOf,
  waitingIds,
} from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();

const ASK_ME = { type: "custom" as const, name: "ask_me", description: "Asks.", input_schema: { type: "object" as const } };

verifies("system-message.after-input", "behind a message: the model gets it with that turn, and keeps it", async () => {
  const session = await server.createSession();
  const marker = server.play(say("Ahoy."));
  await session.send(message(marker), systemMessage("Talk like a pirate."));
  const events = await session.rest();
  expect(typesOf(events).slice(0, 2)).toEqual(["user.message", "system.message"]);
  expect(JSON.stringify(server.requests(marker)[0]?.body)).toContain("Talk like a pirate.");
  const next = server.play(say("Arr."));
  await session.send(message(next));
  await session.rest();
  expect(JSON.stringify(server.requests(next)[0]?.body)).toContain("Talk like a pirate.");
});

verifies("system-message.after-input", "behind a custom tool's result", async () => {
  const marker = server.play(call("ask_me", {}), say("Arr."));
  const session = await server.createSession({ agent: { make: { tools: [ASK_ME] } } });
  await session.send(message(marker));
  const [id = ""] = waitingIds(await session.rest());
  await session.send(answer(id, "yes"), systemMessage("Talk like a pirate."));
  const events = await session.rest();
  expect(saidBy(events)).toEqual(["Arr."]);
  expect(countOf(events, "system.message")).toBe(1);
  expect(JSON.stringify(server.requests(marker)[1]?.body)).toContain("Talk like a pirate.");
});

const ASKING = { ...TOOLSET, default_config: { permission_policy: { type: "always_ask" as const } } };
for (const [what, decide] of [
  ["while a call that was allowed has still to run", allow],
  ["when the other call was denied", deny],
] as const) {
  verifies("system-message.after-input", `behind a result, ${what}`, async () => {
    const marker = server.play([call("ask_me", {}), call("bash", { command: "echo ran" })], say("Arr."));
    const session = await server.createSession({ agent: { make: { tools: [ASK_ME, ASKING] } } });
    await session.send(message(marker));
    const asked = await session.rest();
    await session.send(decide(last(asked, "agent.tool_use").id));
    await session.rest();
    await session.send(answer(last(asked, "agent.custom_tool_use").id, "yes"), systemMessage("Talk like a pirate."));
    const events = await session.rest();
    expect(saidBy(events)).toEqual(["Arr."]);
    expect(last(events, "system.message").processed_at).not.toBeNull();
    expect(JSON.stringify(server.requests(marker)[1]?.body)).toContain("Talk like a pirate.");
  });
}

verifies("system-message.alone", "alone to an idle session: no turn; the next one has it", async () => {
  const session = await server.createSession();
  const [stored] = await session.send(systemMessage("Talk like a pirate."));
  expect(stored?.type).toBe("system.message");
  expect((await session.retrieve()).status).toBe("idle");
  expect(typesOf(await session.events())).toEqual(["system.message"]);
  const marker = server.play(say("Ahoy."));
  await session.send(message(marker));
  const events = await session.rest();
  expect(saidBy(events)).toEqual(["Ahoy."]);
  expect(countOf(events, "system.message")).toBe(1);
  expect(JSON.stringify(server.requests(marker)[0]?.body)).toContain("Talk like a pirate.");
});

verifies("system-message.misplaced", "not last, twice, behind something else, or at the wrong time", async () => {
  const session = await server.createSession();
  const sys = systemMessage("x");
  await refusedAsInvalid(session.send(sys, message("a")), /events\[0\]/);
  await refusedAsInvalid(session.send(message("a"), sys, sys), /events\[1\]/);
  await refusedAsInvalid(session.send(interrupt, sys), /events\[1\]/);
  expect(await session.events()).toEqual([]);

  const gate = server.gate();
  await session.send(message(server.play([hold(gate), say("Done.")])));
  await gate.reached;
  await refusedAsInvalid(session.send(sys));
  gate.open();
  await session.rest();

  const asking = await server.start({ tools: [ASK_ME] }, call("ask_me", {}));
  await asking.rest();
  await refusedAsInvalid(asking.send(sys), /waiting on responses/);
});

verifies("system-message.size", "1 to 1,000 text items", async () => {
  const session = await server.createSession();
  const items = (count: number) => ({
    type: "system.message" as const,
    content: Array.from({ length: count }, (_, index) => ({ type: "text" as const, text: `rule ${index}` })),
  });
  await refusedAsInvalid(session.send(items(0)), /events\[0\]\.content/);
  await refusedAsInvalid(session.send(items(1001)), /events\[0\]\.content/);
  const [stored] = await session.send(items(1000));
  expect(stored).toMatchObject(items(1000));
});
