import fc from "fast-check";
import { expect, test } from "vitest";
import { scanJson } from "./json-scan.ts";

const scan = (text: string) => scanJson(Buffer.from(text));

test("members are where their values are written, in any JSON", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.constantFrom(undefined, 1, "\t"), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      const json = Buffer.from(text);
      const result = scanJson(json);
      if ("problem" in result) throw new Error(result.problem);
      expect([...result.members.keys()].sort()).toEqual(Object.keys(value).sort());
      for (const [name, { start, end }] of result.members)
        expect(JSON.parse(json.toString("utf8", start, end))).toEqual(JSON.parse(text)[name]);
    }),
  );
});

test.each([
  '{"a":1,"a":2}',
  '{"a":1,"\\u0061":2}',
  '{"b":{"a":[{"x":1,"y":"}","x":2}]}}',
  '{"a\\\\":1,"a\\\\":2}',
  '{"a":"\\"","a":1}',
])("%s has a name twice", (text) => {
  expect(scan(text)).toMatchObject({ problem: expect.stringContaining("stands twice") });
});

test.each(['{"a":{"a":1},"b":["a","a"]}', '{"a":"a","b":"a"}', '{"a":[{"x":1},{"x":2}]}', '[{"a":1},{"a":1}]'])(
  "%s has none twice",
  (text) => {
    expect(scan(text)).toHaveProperty("members");
  },
);

test("depth and number of values are bounded", () => {
  expect(scan("[".repeat(257))).toHaveProperty("problem");
  expect(scan('{"a":'.repeat(257))).toHaveProperty("problem");
  expect(scan(`[${"0,".repeat(200_001)}0]`)).toHaveProperty("problem");
  expect(scan(`[${"{},".repeat(120_000)}{}]`)).toHaveProperty("problem");
});

test("what is no JSON is read without harm", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'{}[]",:\\a0 ') }), (text) => {
      expect(scan(text)).toBeDefined();
    }),
    { numRuns: 2_000 },
  );
});

test("a text that was made to be slow is not: very many names, and no value far and wide", () => {
  const names = Array.from({ length: 190_000 }, (_, index) => `"${index}${"-".repeat(120)}"`);
  expect(scan(`{${names.join(",")}}`)).toHaveProperty("members");
}, 60_000);
