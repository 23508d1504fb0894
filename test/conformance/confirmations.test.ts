import { call, callRaw, hold, say } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { refusedAsInvalid } from "./fixture/refused.ts";
import {
  allow,
  countOf,
  deny,
  last,
  message,
  only,
  saidBy,
  stopReasons,
  textOf,
  typesOf,
  waitingIds,
} from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();

const ASK = { type: "always_ask" as const };
const ASKING = { ...TOOLSET, default_config: { permission_policy: ASK } };
/** bash asks, the others do not. */
const BASH_ASKS = { ...TOOLSET, configs: [{ name: "bash" as const, permission_policy: ASK }] };
const echo = (text: string) => call("bash", { command: `echo ${text}` });

verifies(["action.ids", "action.fields"], "requires_action names the asked calls, in order of emission", async () => {
  const session = await server.start({ tools: [ASKING] }, [echo("a"), echo("b"), call("read", { file_path: "x" })]);
  const events = await session.rest();
  const uses = only(events, "agent.tool_use");
  expect(uses).toHaveLength(3);
  for (const use of uses) expect(use).toMatchObject({ evaluated_permission: "ask", evaluation: { type: "always_ask" } });
  expect(waitingIds(events)).toEqual(uses.map(({ id }) => id));
  expect(typesOf(events).slice(-3)).toEqual(["session.thread_status_idle", "session.usage", "session.status_idle"]);
  expect(countOf(events, "agent.tool_result")).toBe(0);
});

verifies(["action.allow", "action.fields"], "allowed: it runs, and the turn goes on", async () => {
  const session = await server.start({ tools: [ASKING] }, echo("ran"), say("Done."));
  const asked = await session.rest();
  const [id = ""] = waitingIds(asked);
  const [stored] = await session.send(allow(id));
  const events = await session.rest();
  expect(typesOf(events.slice(asked.length))).toEqual([
    "user.tool_confirmation",
    "session.status_running",
    "session.thread_status_running",
    "agent.tool_result",
    "span.model_request_start",
    "agent.message",
    "span.model_request_end",
    "session.thread_status_idle",
    "session.usage",
    "session.status_idle",
  ]);
  expect(last(events, "user.tool_confirmation")).toMatchObject({ id: stored?.id, tool_use_id: id, result: "allow" });
  expect(textOf(last(events, "agent.tool_result"))).toContain("ran");
  expect(stopReasons(events)).toEqual(["requires_action", "end_turn"]);

  const plain = await server.start({ tools: [TOOLSET] }, echo("x"), say("Done."));
  expect(last(await plain.rest(), "agent.tool_use")).toMatchObject({
    evaluated_permission: "allow",
    evaluation: { type: "always_allow" },
  });
});

verifies("action.deny", "denied: the model is told, with the reason, and nothing runs", async () => {
  const marker = server.play(call("bash", { command: "touch was-here" }), call("glob", { pattern: "*" }), say("As you wish."));
  const session = await server.createSession({ agent: { make: { tools: [BASH_ASKS] } } });
  await session.send(message(marker));
  const [id = ""] = waitingIds(await session.rest());
  await session.send(deny(id, "Not on a Friday."));
  const events = await session.rest();
  const [denied, listed] = only(events, "agent.tool_result");
  expect(denied).toMatchObject({ tool_use_id: id, is_error: true });
  expect(denied && textOf(denied)).toMatch(/reject.*Not on a Friday\./s);
  expect(listed && textOf(listed)).not.toContain("was-here");
  expect(server.requests(marker)[1]?.messages.at(-1)?.results).toMatchObject([
    { isError: true, text: expect.stringContaining("Not on a Friday.") },
  ]);
  expect(saidBy(events)).toEqual(["As you wish."]);
});

verifies(
  ["action.partial", "action.several"],
  "three calls: one answered, idle again with two; then allow and deny mixed",
  async () => {
    const session = await server.start({ tools: [ASKING] }, [echo("a"), echo("b"), echo("c")], say("Done."));
    const asked = await session.rest();
    const [a = "", b = "", c = ""] = waitingIds(asked);
    await session.send(allow(b));
    expect((await session.retrieve()).status).toBe("idle");
    const partly = await session.events();
    expect(typesOf(partly.slice(asked.length))).toEqual([
      "user.tool_confirmation",
      "session.thread_status_idle",
      "session.usage",
      "session.status_idle",
    ]);
    expect(waitingIds(partly)).toEqual([a, c]);
    await session.send(deny(a), allow(c));
    const events = await session.rest();
    const results = only(events, "agent.tool_result");
    expect(Object.fromEntries(results.map((result) => [result.tool_use_id, result.is_error]))).toEqual({
      [a]: true,
      [b]: false,
      [c]: false,
    });
    expect(stopReasons(events)).toEqual(["requires_action", "requires_action", "end_turn"]);
    expect(saidBy(events)).toEqual(["Done."]);
  },
);

verifies("action.mixed-policies", "calls that need no confirmation run at once", async () => {
  const session = await server.start(
    { tools: [BASH_ASKS] },
    [echo("a"), call("write", { file_path: "f", content: "x" })],
    say("Done."),
  );
  const events = await session.rest();
  const [bash, write] = only(events, "agent.tool_use");
  expect([bash?.evaluated_permission, write?.evaluated_permission]).toEqual(["ask", "allow"]);
  expect(only(events, "agent.tool_result").map((result) => result.tool_use_id)).toEqual([write?.id]);
  expect(waitingIds(events)).toEqual([bash?.id]);
  await session.send(allow(bash?.id ?? ""));
  expect(saidBy(await session.rest())).toEqual(["Done."]);
});

verifies("action.message-refused", "a message meanwhile: 400 with the observed text, nothing changed", async () => {
  const session = await server.start({ tools: [ASKING] }, [echo("a"), echo("b")], say("Done."));
  const asked = await session.rest();
  const ids = waitingIds(asked);
  const text =
    `Invalid user.message event at events[0]: waiting on responses to events [${ids.join(", ")}]; ` +
    "only `user.tool_confirmation`, `user.custom_tool_result`, `user.tool_result`, or `user.interrupt` may be sent";
  expect(await refusedAsInvalid(session.send(message("Hurry!")))).toBe(text);
  await refusedAsInvalid(session.send(allow(ids[0] ?? ""), message("Hurry!")), /events\[1\]/);
  expect(await session.events()).toEqual(asked);
});

verifies("action.then-message", "behind the last answer a message is taken up when the calls are done", async () => {
  const marker = server.play(echo("a"), say("Done."), say("And that too."));
  const session = await server.createSession({ agent: { make: { tools: [ASKING] } } });
  await session.send(message(marker));
  const [id = ""] = waitingIds(await session.rest());
  const next = server.play(say("And that too."));
  await session.send(allow(id), message(next));
  const events = await session.rest();
  expect(saidBy(events)).toEqual(["Done.", "And that too."]);
  expect(countOf(events, "user.message")).toBe(2);
});

verifies(["action.deny-message", "action.not-asked", "action.unknown-id"], "answers that fit nothing are refused", async () => {
  const session = await server.start({ tools: [BASH_ASKS] }, [echo("a"), call("glob", { pattern: "*" })], say("Done."));
  const events = await session.rest();
  const [asked, ran] = only(events, "agent.tool_use");
  await refusedAsInvalid(
    session.send({ type: "user.tool_confirmation", tool_use_id: asked?.id ?? "", result: "allow", deny_message: "no" }),
    /deny_message/,
  );
  await refusedAsInvalid(session.send(allow(ran?.id ?? "")));
  for (const unknown of ["sevt_01unknown", "toolu_01unknown"]) {
    expect(await refusedAsInvalid(session.send(allow(unknown)))).toBe(
      `\`tool_use_id\` "${unknown}" does not match any \`agent.tool_use\` event in this session`,
    );
  }
  expect(await session.events()).toEqual(events);
});

verifies("action.not-asked", "a call that runs without having been asked for is not confirmed", async () => {
  const gate = server.sandboxGate();
  const session = await server.start({ tools: [TOOLSET] }, call("bash", { command: gate.command }), say("Done."));
  await gate.reached();
  const running = await session.events();
  const [id = ""] = only(running, "agent.tool_use").map((use) => use.id);
  await refusedAsInvalid(session.send(allow(id)), /confirmation/);
  await refusedAsInvalid(session.send(deny(id)), /confirmation/);
  await gate.open();
  expect(saidBy(await session.rest())).toEqual(["Done."]);
});

verifies("action.repeat", "the same answer again is the stored event; a different one is refused", async () => {
  const session = await server.start({ tools: [ASKING] }, [echo("a"), echo("b")], say("Done."));
  const [a = "", b = ""] = waitingIds(await session.rest());
  const [first] = await session.send(deny(a, "no"));
  const [again] = await session.send(deny(a, "no"));
  expect(again).toEqual(first);
  await refusedAsInvalid(session.send(allow(a)));
  await refusedAsInvalid(session.send(deny(a, "for another reason")));
  await session.send(allow(b));
  const events = await session.rest();
  expect(await session.send(deny(a, "no"))).toEqual([first]);
  expect(await session.events()).toEqual(events);
});

verifies("action.thread-id", "an answer may name its thread; a wrong one is refused", async () => {
  const session = await server.start({ tools: [ASKING] }, echo("a"), say("Done."));
  const [id = ""] = waitingIds(await session.rest());
  const routed = (threadId: string) => ({ ...allow(id), session_thread_id: threadId }) as ReturnType<typeof allow>;
  await refusedAsInvalid(session.send(routed("sthr_01unknown")), /does not match/);
  await session.send(routed(await session.threadId()));
  expect(saidBy(await session.rest())).toEqual(["Done."]);
});

verifies("action.tool-result-cloud", "user.tool_result on a cloud environment is refused", async () => {
  const session = await server.start({ tools: [ASKING] }, echo("a"));
  const [id = ""] = waitingIds(await session.rest());
  await refusedAsInvalid(session.send({ type: "user.tool_result", tool_use_id: id, content: [] }), /self_hosted/);
});

verifies("action.auto", "auto without a judge asks, and says that it could not judge", async () => {
  const session = await server.start(
    { tools: [{ ...TOOLSET, default_config: { permission_policy: { type: "auto" } } }] },
    echo("a"),
  );
  const events = await session.rest();
  expect(last(events, "agent.tool_use")).toMatchObject({
    evaluated_permission: "ask",
    evaluation: { type: "auto", evaluated_permission: { type: "ask", reason_code: "indeterminate" } },
  });
  expect(waitingIds(events)).toHaveLength(1);
});

verifies("action.disabled-tool", "a disabled or unknown tool is denied, and the turn goes on", async () => {
  const configs = [
    { name: "bash" as const, enabled: false },
    { name: "web_search" as const, enabled: false },
  ];
  const tools = [{ ...TOOLSET, configs }];
  const session = await server.start({ tools }, [echo("a"), call("teleport", {}), callRaw("web_search", "{}")], say("I see."));
  const events = await session.rest();
  const uses = only(events, "agent.tool_use");
  expect(uses.map(({ name }) => name)).toEqual(["bash", "teleport", "web_search"]);
  for (const use of uses) {
    expect(use.evaluated_permission).toBe("deny");
    expect(use.evaluation).toBeUndefined();
    expect(only(events, "agent.tool_result").find((result) => result.tool_use_id === use.id)).toMatchObject({ is_error: true });
  }
  expect(saidBy(events)).toEqual(["I see."]);
});

verifies("action.partial", "an answer that comes while the turn still runs is not asked for again", async () => {
  const gate = server.gate();
  const session = await server.start(
    { tools: [BASH_ASKS] },
    [echo("a"), call("bash", { command: "echo b" })],
    [hold(gate), say("Done.")],
  );
  const [a = "", b = ""] = waitingIds(await session.rest());
  await session.send(allow(a), allow(b));
  await gate.reached;
  expect((await session.retrieve()).status).toBe("running");
  const [again] = await session.send(allow(a));
  expect(again).toMatchObject({ type: "user.tool_confirmation", tool_use_id: a });
  gate.open();
  expect(countOf(await session.rest(), "user.tool_confirmation")).toBe(2);
});
