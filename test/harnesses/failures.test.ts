import { call, errorEvent, fail, inOrder, say } from "@sandbox0/testkit";
import { describe, expect, test } from "vitest";
import { conformanceServer, TOOLSET } from "../conformance/fixture/conformance-server.ts";
import { message, only, saidBy } from "../conformance/fixture/test-session.ts";
import { agentOn, VENDOR_HARNESSES } from "./vendor-harnesses.ts";

const server = conformanceServer();
/** Longer than the server would wait by itself. */
const RETRY_AFTER_S = 4;

/** What a program does by itself when its provider fails must cost nothing and change nothing. */
describe.each(VENDOR_HARNESSES)("a provider that fails a session on $name", (harness) => {
  const newSession = () => server.createSession({ agent: { make: { ...agentOn(harness), tools: [TOOLSET] } } });

  test("without the model: it is asked once, and the session is over", async () => {
    const session = await newSession();
    const marker = server.play(fail(404), say("Here after all."));
    await session.send(message(marker));
    const events = await session.rest();
    expect(server.requests(marker)).toHaveLength(1);
    expect(saidBy(events)).toEqual([]);
    expect(only(events, "session.error").map(({ error }) => error.type)).toEqual(["model_request_failed_error"]);
    expect(only(events, "session.status_terminated")).toHaveLength(1);
  });

  test("that is too busy: it is asked again when it said, and not before", async () => {
    const session = await newSession();
    const marker = server.play(inOrder(fail(429, { retryAfterSeconds: RETRY_AFTER_S }), say("Now.")));
    await session.send(message(marker));
    const events = await session.rest();
    expect(saidBy(events)).toEqual(["Now."]);
    const [failed, again] = only(events, "span.model_request_start").map(({ processed_at }) => Date.parse(processed_at));
    expect((again ?? 0) - (failed ?? 0)).toBeGreaterThanOrEqual(RETRY_AFTER_S * 1_000);
  });

  test.each([
    ["text", say("Half a sen")],
    ["a call", call("bash", { command: "echo never" })],
  ])("in the middle of %s: it is asked again by the session alone", async (_, part) => {
    const session = await newSession();
    const marker = server.play(inOrder([part, errorEvent(500)], say("A whole one.")));
    await session.send(message(marker));
    const events = await session.rest();
    expect(saidBy(events)).toEqual(["A whole one."]);
    expect(only(events, "agent.tool_use")).toEqual([]);
    expect(server.requests(marker)).toHaveLength(only(events, "span.model_request_start").length);
    expect(only(events, "session.status_rescheduled")).toHaveLength(1);
  });
});
