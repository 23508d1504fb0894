import { expect, test } from "vitest";
import { eventListQuerySchema, modelListQuerySchema, sessionListQuerySchema } from "./lists.ts";
import { parseQuery } from "./query.ts";

test.each<[string, Record<string, string[]>]>([
  ["statuses[]=running&statuses[]=idle", { statuses: ["running", "idle"] }],
  ["statuses=running&statuses=idle", { statuses: ["running", "idle"] }],
  ["statuses[0]=running&statuses[1]=idle", { statuses: ["running", "idle"] }],
  ["statuses%5B%5D=running", { statuses: ["running"] }],
  ["created_at[gte]=2026-01-01T00:00:00Z", { "created_at[gte]": ["2026-01-01T00:00:00Z"] }],
  ["created_at%5Bgte%5D=x", { "created_at[gte]": ["x"] }],
  ["page=&limit=5", { limit: ["5"] }],
  ["beta=true", {}],
  ["", {}],
  ["a=b%20c+d", { a: ["b c d"] }],
  ["%=x&=y", { "%": ["x"], "": ["y"] }],
])("%s", (search, query) => {
  expect(parseQuery(search)).toEqual(query);
});

test("a key named like a prototype's is just a key", () => {
  const query = parseQuery("__proto__=x&constructor=y");
  expect(Object.keys(query)).toEqual(["__proto__", "constructor"]);
  expect(Object.getPrototypeOf(query)).toBe(Object.prototype);
});

test("too many keys do not grow it without end", () => {
  expect(Object.keys(parseQuery(Array.from({ length: 5_000 }, (_, i) => `k${i}=1`).join("&"))).length).toBe(256);
});

test("values become what they mean", () => {
  const query = sessionListQuerySchema.parse(
    parseQuery(
      "limit=5&include_archived=true&order=asc&statuses[]=idle&created_at[gt]=2026-01-01T00:00:00%2B01:00&agent_id=a&agent_version=2",
    ),
  );
  expect(query).toEqual({
    limit: 5,
    include_archived: true,
    order: "asc",
    statuses: ["idle"],
    "created_at[gt]": new Date("2025-12-31T23:00:00Z"),
    agent_id: "a",
    agent_version: 2,
  });
});

test.each([
  "limit=0",
  "limit=1e2",
  "limit=-1",
  "limit=1.5",
  "limit=101",
  "order=up",
  "statuses[]=done",
  "include_archived=1",
  "created_at[lt]=2026",
  "agent_version=1",
])("%s is refused", (search) => {
  expect(sessionListQuerySchema.safeParse(parseQuery(search)).success).toBe(false);
});

test("only the event list refuses keys it does not know", () => {
  expect(eventListQuerySchema.safeParse(parseQuery("after=x")).success).toBe(false);
  expect(eventListQuerySchema.safeParse(parseQuery("beta=true&types[]=user.message")).success).toBe(true);
  expect(modelListQuerySchema.safeParse(parseQuery("after=x")).success).toBe(true);
  expect(
    modelListQuerySchema.safeParse(parseQuery("lifecycle[]=active&lifecycle[]=active&lifecycle[]=active&lifecycle[]=active"))
      .success,
  ).toBe(false);
});
