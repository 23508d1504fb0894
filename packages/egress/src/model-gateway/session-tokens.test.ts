import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createSessionTokens } from "./session-tokens.ts";

const tokens = createSessionTokens(randomBytes(32));

test("a token is good for its session out of its sandbox", () => {
  const token = tokens.issue("host.123/sbx_1", "sesn_1");
  expect(token).toMatch(/^sk-sandbox0-[\w.-]+$/);
  expect(tokens.sessionOf("host.123/sbx_1", token)).toBe("sesn_1");
  expect(tokens.sessionOf("sbx_2", token)).toBeNull();
  expect(createSessionTokens(randomBytes(32)).sessionOf("host.123/sbx_1", token)).toBeNull();
});

test("a token that is changed anywhere is no token", () => {
  const token = tokens.issue("host.123/sbx_1", "sesn_1");
  fc.assert(
    fc.property(fc.nat(token.length - 1), fc.constantFrom(..."AZaz09-_.!/ "), (at, letter) => {
      const changed = token.slice(0, at) + letter + token.slice(at + 1);
      // Four bits of the last letter are not of the signature.
      fc.pre(changed !== token && at < token.length - 1);
      expect(tokens.sessionOf("host.123/sbx_1", changed)).toBeNull();
    }),
  );
});

test("sandbox and session cannot be shifted into each other", () => {
  const token = tokens.issue("host.123/sbx_1", "sesn_1");
  const signature = token.split(".")[1];
  expect(tokens.sessionOf("sbx", `sk-sandbox0-_1sesn_1.${signature}`)).toBeNull();
  expect(() => tokens.issue("sbx\n1", "sesn_1")).toThrow(TypeError);
});

test.each([
  "",
  "sk-sandbox0-",
  "sk-sandbox0-.",
  "sk-sandbox0-sesn_1",
  "sk-sandbox0-sesn_1.",
  "sk-sandbox0-sesn_1.AA.BB",
  `sk-sandbox0-${"a".repeat(10_000)}.AA`,
  "sk-ant-api03-x",
])("%s is no token", (text) => expect(tokens.sessionOf("host.123/sbx_1", text)).toBeNull());

test("a short secret is refused", () => {
  expect(() => createSessionTokens(randomBytes(16))).toThrow(RangeError);
});
