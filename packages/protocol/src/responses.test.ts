import { expect, test } from "vitest";
import { parseEvent, parseStreamEvent, validateResponse } from "./responses.ts";

const environment = {
  id: "env_1",
  type: "environment",
  name: "n",
  description: null,
  config: {
    type: "cloud",
    networking: { type: "unrestricted" },
    packages: { apt: [], cargo: [], gem: [], go: [], npm: [], pip: [] },
  },
  metadata: {},
  created_at: "2026-01-01T00:00:00Z",
  updated_at: "2026-01-01T00:00:00Z",
  archived_at: null,
};
const check = (body: unknown, status = 200) =>
  validateResponse({ method: "GET", pathname: "/v1/environments/env_1", status, body });

test("a right answer has no problems", () => {
  expect(check(environment)).toEqual([]);
  expect(
    validateResponse({
      method: "GET",
      pathname: "/v1/environments",
      status: 200,
      body: { data: [environment], next_page: null },
    }),
  ).toEqual([]);
});

test("a missing field, a wrong type and a field the official type lacks are named", () => {
  const { name, ...nameless } = environment;
  expect(check(nameless)).toEqual(["name: Field required"]);
  expect(check({ ...environment, name: 5 })).toHaveLength(1);
  expect(check({ ...environment, secret: 1 })).toEqual(["secret: not a field of the official type"]);
  const deep = { ...environment, config: { ...environment.config, networking: { type: "unrestricted", x: name } } };
  expect(check(deep)).toEqual(["config.networking.x: not a field of the official type"]);
});

test("errors have the official shape", () => {
  expect(check({ type: "error", error: { type: "not_found_error", message: "m" }, request_id: "req_1" }, 404)).toEqual([]);
  expect(check({ error: "nope" }, 404).length).toBeGreaterThan(0);
  expect(check({ type: "error", error: { type: "made_up", message: "m" }, request_id: null }, 400)).toHaveLength(1);
});

test("events are checked whole", () => {
  const event = {
    id: "sevt_1",
    type: "session.status_idle",
    processed_at: "t",
    stop_reason: { type: "end_turn" },
    stop_details: null,
  };
  expect(parseEvent(event)).toBe(event);
  expect(() => parseEvent({ ...event, seq: 4 })).toThrow("seq: not a field of the official type");
  expect(() => parseEvent({ ...event, stop_reason: { type: "tired" } })).toThrow("stop_reason.type");
  const start = { type: "event_start", event: { type: "agent.message", id: "sevt_1" } };
  expect(parseStreamEvent(start)).toBe(start);
  expect(() => parseEvent(start)).toThrow();
});

test("free-form parts may hold anything", () => {
  const event = { id: "sevt_1", type: "agent.tool_use", processed_at: "t", name: "bash", input: { anything: { at: ["all"] } } };
  expect(parseEvent(event)).toBe(event);
});
