import { describe, expect, test } from "vitest";
import { z } from "zod";
import { ApiError } from "./errors.ts";
import { JSON_DEPTH_MAX, parseRequest, requireShallow, requireStorableText } from "./validation.ts";

function refusal(act: () => unknown): ApiError {
  try {
    act();
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

const schema = z.object({
  name: z.string().max(3),
  list: z.array(z.object({ type: z.literal("a"), n: z.int() })).optional(),
  either: z.union([z.string(), z.object({ id: z.string() })]).optional(),
  needed: z.union([z.string(), z.object({ id: z.string() })]),
  tagged: z
    .discriminatedUnion("type", [z.object({ type: z.literal("x") }), z.object({ type: z.literal("y"), v: z.string() })])
    .optional(),
});

describe("messages name the field and the rule", () => {
  test.each<[unknown, string]>([
    [{}, "name: Field required; needed: Field required"],
    [{ name: 1, needed: "n" }, "name: Invalid input: expected string, received number"],
    [
      {
        name: "ok",
        needed: "n",
        list: [
          { type: "a", n: 1 },
          { type: "a", n: 0.5 },
        ],
      },
      "list[1].n: Invalid input: expected int, received number",
    ],
    [{ name: "ok", needed: "n", either: 5 }, "either: Invalid input: expected string or object"],
    [{ name: "ok", needed: "n", either: { id: 5 } }, "either.id: Invalid input: expected string, received number"],
    [{ name: "ok", needed: "n", tagged: { type: "z" } }, "tagged.type: Invalid discriminator value. Expected 'x' | 'y'"],
    [{ name: "ok", needed: "n", tagged: { type: "y" } }, "tagged.v: Field required"],
    ["text", "Invalid input: expected object, received string"],
  ])("%j", (value, message) => {
    const error = refusal(() => parseRequest(schema, value));
    expect([error.type, error.status, error.message]).toEqual(["invalid_request_error", 400, message]);
  });

  test("several problems in one message, and how many more", () => {
    const many = z.object(Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`f${i}`, z.string()])));
    const { message } = refusal(() => parseRequest(many, {}));
    expect(message).toBe(
      "f0: Field required; f1: Field required; f2: Field required; f3: Field required; f4: Field required; and 3 more",
    );
  });
});

test("nesting has a limit", () => {
  const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
  expect(() => requireShallow(nested(JSON_DEPTH_MAX))).not.toThrow();
  expect(refusal(() => requireShallow(nested(JSON_DEPTH_MAX + 1))).message).toContain("nests deeper");
  expect(refusal(() => requireShallow(nested(5_000))).status).toBe(400);
});

test("text that a database cannot store is named", () => {
  expect(() => requireStorableText({ a: ["ok 😀"] })).not.toThrow();
  expect(refusal(() => requireStorableText({ a: ["ok", "\0"] })).message).toMatch(/^a\[1\]: /);
  expect(refusal(() => requireStorableText({ a: { b: "\ud800" } })).message).toMatch(/^a\.b: /);
  expect(refusal(() => requireStorableText({ a: { "\0": 1 } })).message).toMatch(/^a: /);
});
