import { expect, test } from "vitest";
import { decodeCursor, encodeCursor } from "./pagination.ts";

const cursor = encodeCursor({ list: "agents", order: "desc", key: [1_764_000_000_000, "agent_01x"] });
const KEY = ["time", "id"] as const;
const forged = (...key: (string | number)[]) => encodeCursor({ list: "agents", order: "desc", key });

test("a cursor is opaque and says where the page begins", () => {
  expect(cursor).toMatch(/^page_[A-Za-z0-9_-]+$/);
  expect(decodeCursor(cursor, { list: "agents", order: "desc", key: KEY })).toEqual({
    list: "agents",
    order: "desc",
    direction: "next",
    key: [1_764_000_000_000, "agent_01x"],
  });
  const back = encodeCursor({ list: "sessions", order: "asc", key: [7], direction: "prev" });
  expect(decodeCursor(back, { list: "sessions", order: "asc", key: ["seq"] }).direction).toBe("prev");
});

test.each([
  ["another order", cursor, { list: "agents", order: "asc" as const }],
  ["another list", cursor, { list: "environments", order: "desc" as const }],
  ["no prefix", cursor.slice(5), { list: "agents", order: "desc" as const }],
  ["not base64", "page_%%%", { list: "agents", order: "desc" as const }],
  ["not JSON", "page_AAAA", { list: "agents", order: "desc" as const }],
  ["another shape", `page_${btoa('["agents"]')}`, { list: "agents", order: "desc" as const }],
  ["a key too short", forged(1), { list: "agents", order: "desc" as const }],
  ["a key too long", forged(1, "a", 1), { list: "agents", order: "desc" as const }],
  ["no time", forged("yesterday", "a"), { list: "agents", order: "desc" as const }],
  ["a time no calendar has", forged(1e300, "a"), { list: "agents", order: "desc" as const }],
  ["an id with NUL", forged(1, "a\0"), { list: "agents", order: "desc" as const }],
  ["far too long", `page_${"A".repeat(10_000)}`, { list: "agents", order: "desc" as const }],
])("refused: %s", (_what, page, expected) => {
  expect(() => decodeCursor(page, { ...expected, key: KEY })).toThrow(
    expect.objectContaining({ status: 400, message: expect.stringMatching(/^page: /) as string }) as Error,
  );
});
