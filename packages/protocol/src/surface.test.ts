import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import {
  EVENT_FILTER_TYPES,
  ERROR_STATUS,
  ID_PREFIXES,
  OPERATIONS,
  OPERATION_NAMES,
  createId,
  findOperation,
  sessionEventSchema,
} from "./index.ts";
import { userEventSchemas, agentEventSchemas, sessionEventSchemas, workflowEventSchemas } from "./events.ts";

/** The surface others build on, as literals: a change here is a change for them, and must be meant. */

test("error types and their statuses", () => {
  expect(ERROR_STATUS).toEqual({
    invalid_request_error: 400,
    authentication_error: 401,
    billing_error: 402,
    permission_error: 403,
    not_found_error: 404,
    conflict_error: 409,
    memory_precondition_failed_error: 409,
    memory_path_conflict_error: 409,
    request_too_large: 413,
    rate_limit_error: 429,
    api_error: 500,
    timeout_error: 504,
    overloaded_error: 529,
  });
});

test("id prefixes", () => {
  expect(ID_PREFIXES).toEqual({
    agent: "agent_",
    environment: "env_",
    session: "sesn_",
    event: "sevt_",
    sessionResource: "sesrsc_",
    snapshot: "snap_",
    thread: "sthr_",
    outcome: "outc_",
    vault: "vlt_",
    credential: "vcrd_",
    memoryStore: "memstore_",
    memory: "mem_",
    memoryVersion: "memver_",
    file: "file_",
    skill: "skill_",
    skillVersion: "skver_",
    workspace: "wrkspc_",
    apiKey: "apikey_",
    request: "req_",
  });
});

const STORED =
  `user.message user.interrupt user.tool_confirmation user.tool_result user.custom_tool_result user.define_outcome system.message
agent.message agent.thinking agent.tool_use agent.tool_result agent.mcp_tool_use agent.mcp_tool_result agent.custom_tool_use
agent.thread_message_received agent.thread_message_sent agent.thread_context_compacted
session.status_running session.status_idle session.status_rescheduled session.status_terminated session.error session.updated session.usage
session.deleted session.thread_created session.thread_status_running session.thread_status_idle session.thread_status_rescheduled
session.thread_status_terminated span.model_request_start span.model_request_end span.outcome_evaluation_start
span.outcome_evaluation_ongoing span.outcome_evaluation_end workflow_run.created workflow_run.status_running workflow_run.status_idle
workflow_run.phase_started workflow_run.phase_ended workflow_run.error workflow_run.status_ended`.split(/\s+/);

test("42 stored event types, 41 of them to filter by", () => {
  const schemas = [...userEventSchemas, ...agentEventSchemas, ...sessionEventSchemas, ...workflowEventSchemas];
  expect(schemas.map((schema) => schema.shape.type.value).sort()).toEqual([...STORED].sort());
  expect(STORED).toHaveLength(42);
  expect([...EVENT_FILTER_TYPES].sort()).toEqual(STORED.filter((type) => type !== "session.deleted").sort());
  expect(EVENT_FILTER_TYPES).toHaveLength(41);
  expect(sessionEventSchema.safeParse({ type: "session.nope" }).success).toBe(false);
});

test("120 operations, and the literal path wins over the variable one", () => {
  expect(OPERATION_NAMES).toHaveLength(120);
  const table = OPERATION_NAMES.map((name) => [name, ...OPERATIONS[name]].join(" ")).join("\n");
  expect(createHash("sha256").update(table).digest("hex").slice(0, 16)).toBe("1168709fef24e836");
  expect(findOperation("GET", "/v1/environments/env_1/work/poll")).toBe("environments.work.poll");
  expect(findOperation("GET", "/v1/environments/env_1/work/work_1")).toBe("environments.work.retrieve");
  expect(findOperation("GET", "/v1/sessions/s/threads/t/stream")).toBe("sessions.threads.events.stream");
  expect(findOperation("GET", "/v1/sessions/s/threads/t/events/stream")).toBeUndefined();
  expect(findOperation("PUT", "/v1/agents")).toBeUndefined();
});

test("ids: prefix, 01, base 58, later ones sort later", () => {
  const ids = Array.from({ length: 200 }, () => createId("session"));
  for (const id of ids) expect(id).toMatch(/^sesn_01[1-9A-HJ-NP-Za-km-z]{22}$/);
  expect(new Set(ids).size).toBe(ids.length);
});
