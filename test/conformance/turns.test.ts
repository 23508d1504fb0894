import { call, say } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { typesOf } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();

verifies(["turn.order", "turn.thread-status"], "a turn of one answer has these events in this order", async () => {
  const session = await server.start({}, say("Hello."));
  expect(typesOf(await session.rest())).toEqual([
    "user.message",
    "session.status_running",
    "session.thread_status_running",
    "span.model_request_start",
    "agent.message",
    "span.model_request_end",
    "session.thread_status_idle",
    "session.usage",
    "session.status_idle",
  ]);
});

verifies(["turn.order", "turn.tool-use-before-end", "turn.one-flip"], "a turn with a tool call", async () => {
  const session = await server.start({ tools: [TOOLSET] }, [say("I look."), call("bash", { command: "pwd" })], say("Done."));
  expect(typesOf(await session.rest())).toEqual([
    "user.message",
    "session.status_running",
    "session.thread_status_running",
    "span.model_request_start",
    "agent.message",
    "agent.tool_use",
    "span.model_request_end",
    "agent.tool_result",
    "span.model_request_start",
    "agent.message",
    "span.model_request_end",
    "session.thread_status_idle",
    "session.usage",
    "session.status_idle",
  ]);
});
