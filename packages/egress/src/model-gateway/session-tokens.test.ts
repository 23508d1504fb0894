import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createSessionTokens } from "./session-tokens.ts";

const tokens = createSessionTokens(randomBytes(32));
const PREFIX_CHARS = "sk-sandbox0-sesn_1.".length;

test("a token is good for its session out of its sandbox", () => {
  const token = tokens.issue("host.123/sbx_1", "sesn_1", "sthr_1");
  expect(token).toMatch(/^sk-sandbox0-[\w.-]+$/);
  expect(tokens.sessionOf("host.123/sbx_1", token)).toBe("sesn_1");
  expect(tokens.sessionOf("sbx_2", token)).toBeNull();
  expect(createSessionTokens(randomBytes(32)).sessionOf("host.123/sbx_1", token)).toBeNull();
});

test("a token that is changed anywhere is no token", () => {
  const token = tokens.issue("host.123/sbx_1", "sesn_1", "sthr_1");
  // The alphabet of plain base64, which decodes to the same bytes.
  const other = token.slice(PREFIX_CHARS).replaceAll("-", "+").replaceAll("_", "/");
  expect(tokens.sessionOf("host.123/sbx_1", `${token.slice(0, PREFIX_CHARS)}${other}=`)).toBeNull();
  fc.assert(
    fc.property(fc.nat(token.length - 1), fc.constantFrom(..."AZaz09-_.!/ "), (at, letter) => {
      const changed = token.slice(0, at) + letter + token.slice(at + 1);
      fc.pre(changed !== token);
      expect(tokens.sessionOf("host.123/sbx_1", changed)).toBeNull();
    }),
  );
});

test("sandbox and session cannot be shifted into each other", () => {
  const token = tokens.issue("host.123/sbx_1", "sesn_1", "sthr_1");
  const signature = token.split(".")[1];
  expect(tokens.sessionOf("sbx", `sk-sandbox0-_1sesn_1.${signature}`)).toBeNull();
  expect(() => tokens.issue("sbx\n1", "sesn_1", "sthr_1")).toThrow(TypeError);
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

test("one request of each thread may go out, however often the token was issued", () => {
  const own = createSessionTokens(randomBytes(32));
  expect(own.spend("sbx_1")).toBe(false);
  expect(own.issue("sbx_1", "sesn_1", "sthr_1")).toBe(own.issue("sbx_1", "sesn_1", "sthr_1"));
  own.issue("sbx_1", "sesn_1", "sthr_2");
  own.issue("sbx_2", "sesn_2", "sthr_1");
  expect([1, 2, 3].map(() => own.spend("sbx_1"))).toEqual([true, true, false]);
  own.issue("sbx_1", "sesn_1", "sthr_1");
  expect([1, 2].map(() => own.spend("sbx_1"))).toEqual([true, false]);
  expect(own.spend("sbx_2")).toBe(true);
});

test("nothing is kept for sandboxes without end", () => {
  const own = createSessionTokens(randomBytes(32));
  for (let sandbox = 0; sandbox <= 10_000; sandbox++) own.issue(`sbx_${sandbox}`, "sesn_1", "sthr_1");
  expect([own.spend("sbx_0"), own.spend("sbx_1")]).toEqual([false, true]);
});

test("a short secret is refused", () => {
  expect(() => createSessionTokens(randomBytes(16))).toThrow(RangeError);
});
