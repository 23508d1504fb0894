import { expect, test } from "vitest";
import { decodeCursor, encodeCursor } from "./pagination.ts";

const cursor = encodeCursor({ list: "agents", order: "desc", key: [1_764_000_000_000, "agent_01x"] });

test("a cursor is opaque and says where the page begins", () => {
  expect(cursor).toMatch(/^page_[A-Za-z0-9_-]+$/);
  expect(decodeCursor(cursor, { list: "agents", order: "desc" })).toEqual({
    list: "agents",
    order: "desc",
    direction: "next",
    key: [1_764_000_000_000, "agent_01x"],
  });
  const back = encodeCursor({ list: "sessions", order: "asc", key: ["a"], direction: "prev" });
  expect(decodeCursor(back, { list: "sessions", order: "asc" }).direction).toBe("prev");
});

test.each([
  ["another order", cursor, { list: "agents", order: "asc" as const }],
  ["another list", cursor, { list: "environments", order: "desc" as const }],
  ["no prefix", cursor.slice(5), { list: "agents", order: "desc" as const }],
  ["not base64", "page_%%%", { list: "agents", order: "desc" as const }],
  ["not JSON", "page_AAAA", { list: "agents", order: "desc" as const }],
  ["another shape", `page_${btoa('["agents"]')}`, { list: "agents", order: "desc" as const }],
  ["far too long", `page_${"A".repeat(10_000)}`, { list: "agents", order: "desc" as const }],
])("refused: %s", (_what, page, expected) => {
  expect(() => decodeCursor(page, expected)).toThrow(
    expect.objectContaining({ status: 400, message: expect.stringMatching(/^page: /) as string }) as Error,
  );
});
