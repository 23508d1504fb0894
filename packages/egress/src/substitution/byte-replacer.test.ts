import fc from "fast-check";
import { expect, test } from "vitest";
import { createByteReplacer, replaceBytes, type Replacement } from "./byte-replacer.ts";

/** At each place from the left the longest pattern that is there: said as plainly as can be. */
function naive(text: string, pairs: readonly [string, string][]): string {
  const longestFirst = [...pairs].sort(([a], [b]) => b.length - a.length);
  let out = "";
  for (let at = 0; at < text.length; ) {
    const hit = longestFirst.find(([find]) => text.startsWith(find, at));
    out += hit ? hit[1] : text.charAt(at);
    at += hit ? hit[0].length : 1;
  }
  return out;
}

const latin = (text: string): Buffer => Buffer.from(text, "latin1");
const toReplacements = (pairs: readonly [string, string][]): Replacement[] =>
  pairs.map(([find, put]) => ({ find: latin(find), put: latin(put) }));

/** Few letters, so that patterns overlap, repeat and break off at every border. */
const word = (min: number, max: number) => fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: min, maxLength: max });
const pairs = fc.uniqueArray(fc.tuple(word(1, 7), word(0, 9)), { minLength: 1, maxLength: 5, selector: ([find]) => find });
const cuts = fc.array(fc.nat({ max: 12 }), { maxLength: 60 });

function chunksOf(text: string, sizes: readonly number[]): string[] {
  const chunks: string[] = [];
  let at = 0;
  for (const size of sizes) {
    chunks.push(text.slice(at, at + size));
    at += size;
  }
  return [...chunks, text.slice(at)];
}

test("any chunking gives what the whole text gives", () => {
  fc.assert(
    fc.property(pairs, word(0, 200), cuts, (replaced, text, sizes) => {
      const replacer = createByteReplacer(toReplacements(replaced));
      const out = chunksOf(text, sizes).map((chunk) => replacer.push(latin(chunk)).toString("latin1"));
      expect(out.join("") + replacer.end().toString("latin1")).toBe(naive(text, replaced));
      expect(replaceBytes(latin(text), toReplacements(replaced)).toString("latin1")).toBe(naive(text, replaced));
    }),
    { numRuns: 2_000 },
  );
});

test("holds back less than the longest pattern, and nothing when no pattern may have begun", () => {
  fc.assert(
    fc.property(pairs, word(0, 100), cuts, (replaced, text, sizes) => {
      const longest = Math.max(...replaced.map(([find]) => find.length));
      // Replaced by itself, so that lengths can be compared.
      const same = replaced.map(([find]): [string, string] => [find, find]);
      const replacer = createByteReplacer(toReplacements(same));
      let came = "";
      let went = "";
      for (const chunk of chunksOf(text, sizes)) {
        came += chunk;
        went += replacer.push(latin(chunk)).toString("latin1");
        const held = came.slice(went.length);
        expect(came.startsWith(went)).toBe(true);
        expect(held.length).toBeLessThan(longest);
        expect(held === "" || replaced.some(([find]) => find.startsWith(held) || held.startsWith(find))).toBe(true);
      }
    }),
  );
});

/** A chunk that counts how often its bytes are looked at, one by one. */
function counted(bytes: Buffer): { chunk: Buffer; looks: () => number } {
  let count = 0;
  const chunk = new Proxy(bytes, {
    get(target, key) {
      if (typeof key === "string" && key.charCodeAt(0) <= 57) count++;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return { chunk, looks: () => count };
}

for (const [what, long] of [
  ["others", "0123456789abcdef".repeat(4_096)],
  // Begins anew behind each match.
  ["one that every match breaks off", `ab${"Xab".repeat(20_000)}`],
] as const) {
  test(`many matches of a short pattern beside long ones (${what}): each byte is looked at a few times`, () => {
    const finds = ["Xab", long, `${long}1`, `${long}2`, `${long}3`];
    const { chunk, looks } = counted(latin("Xab".repeat(1_000)));
    const replacer = createByteReplacer(finds.map((find) => ({ find: latin(find), put: latin("-") })));
    expect(`${replacer.push(chunk)}${replacer.end()}`).toBe("-".repeat(1_000));
    expect(looks()).toBeLessThan(4 * finds.length * chunk.length);
  });
}

test("says what was replaced, and does not look into what it put in", () => {
  let hits = 0;
  const replacement = { find: latin("ph"), put: latin("phph"), onHit: () => hits++ };
  const replacer = createByteReplacer([replacement]);
  expect(`${replacer.push(latin("xp"))}${replacer.push(latin("hp"))}${replacer.end()}`).toBe("xphphp");
  expect(hits).toBe(1);
});

test("a pattern without bytes is refused", () => {
  expect(() => createByteReplacer([{ find: latin(""), put: latin("x") }])).toThrow("empty");
});
