import { expect, test } from "vitest";
import { additionalData, keyIdOf, newKey, open, parseKey, SecretUnreadable, seal } from "./envelope.ts";

const place = additionalData("secret", "vlt_1", "vcrd_1", "token", 1);
const plain = Buffer.from("canary-secret");

test("what was sealed opens with its key at its place", () => {
  const key = newKey();
  expect(open(key, seal(key, plain, place), place, "x").toString()).toBe("canary-secret");
  expect(open(key, seal(key, Buffer.alloc(0), place), place, "x")).toHaveLength(0);
});

test("the same secret never looks the same", () => {
  const key = newKey();
  const sealed = Array.from({ length: 50 }, () => seal(key, plain, place).toString("hex"));
  expect(new Set(sealed).size).toBe(50);
  for (const text of sealed) expect(text).not.toContain(plain.toString("hex"));
});

test("any changed bit, another key, another place: an error, never garbage, and no secret in it", () => {
  const key = newKey();
  const sealed = seal(key, plain, place);
  const attempts: [Buffer, Buffer, Buffer][] = [
    [newKey(), sealed, place],
    [key, sealed, additionalData("secret", "vlt_1", "vcrd_1", "token", 2)],
    [key, sealed, additionalData("secret", "vlt_1", "vcrd_1", "client_secret", 1)],
    [key, sealed, additionalData("secret", "vlt_1", "vcrd_2", "token", 1)],
    [key, sealed, additionalData("secret", "vlt_2", "vcrd_1", "token", 1)],
    [key, sealed.subarray(0, -1), place],
    [key, sealed.subarray(0, 20), place],
    [key, Buffer.alloc(0), place],
  ];
  for (let at = 0; at < sealed.length; at++) {
    const changed = Buffer.from(sealed);
    changed[at] = (changed[at] ?? 0) ^ 1;
    attempts.push([key, changed, place]);
  }
  for (const [k, s, p] of attempts) {
    const failure = (() => {
      try {
        return open(k, s, p, "the token of vcrd_1").toString();
      } catch (error) {
        return error;
      }
    })();
    expect(failure).toBeInstanceOf(SecretUnreadable);
    expect((failure as Error).message).toMatch(/^the token of vcrd_1/);
    expect((failure as Error).message).not.toContain("canary");
  }
});

test("parts of a place cannot be shifted into each other", () => {
  expect(additionalData("a", "b")).not.toEqual(additionalData("ab"));
  expect(additionalData("a", 'b","c')).not.toEqual(additionalData("a", "b", "c"));
  expect(additionalData("x", 1)).not.toEqual(additionalData("x", "1"));
});

test("keys are read in hex and base64, and known by something that is not them", () => {
  const key = newKey();
  expect(parseKey(key.toString("hex"))).toEqual(key);
  expect(parseKey(key.toString("base64"))).toEqual(key);
  expect(parseKey("short")).toBeNull();
  expect(keyIdOf(key)).toMatch(/^mk_[0-9a-f]{16}$/);
  expect(keyIdOf(key)).not.toBe(keyIdOf(newKey()));
  expect(key.toString("hex")).not.toContain(keyIdOf(key).slice(3));
});
