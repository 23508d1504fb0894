import { expect, test } from "vitest";
import { diffLines, foldUnchanged } from "./line-diff.ts";

const signs = { same: " ", added: "+", removed: "-" } as const;
const show = (before: string, after: string) => diffLines(before, after).map(({ kind, text }) => `${signs[kind]}${text}`);

test("names what was removed and added, removed first, and keeps the rest in order", () => {
  expect(show("a\nb\nc", "a\nx\nc\nd")).toEqual([" a", "-b", "+x", " c", "+d"]);
  expect(show("one\ntwo\nthree", "two\nthree\nfour")).toEqual(["-one", " two", " three", "+four"]);
});

test("finds the longest common rest between changes on both sides", () => {
  expect(show("a\nb\nc\na\nb\nb\na", "c\nb\na\nb\na\nc").filter((line) => line.startsWith(" "))).toHaveLength(4);
});

test("an empty text has no lines", () => {
  expect(show("", "a\nb")).toEqual(["+a", "+b"]);
  expect(show("a", "")).toEqual(["-a"]);
  expect(show("", "")).toEqual([]);
  expect(show("a\n", "a")).toEqual([" a", "-"]);
});

test("both sides can be put together again from any difference", () => {
  // Mulberry32, so that a failure can be seen again.
  let state = 42;
  const random = (max: number): number => {
    state = (state + 0x6d2b79f5) | 0;
    const mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % max;
  };
  const text = (): string => Array.from({ length: 1 + random(12) }, () => "abc"[random(3)]).join("\n");
  for (let round = 0; round < 300; round += 1) {
    const [before, after] = [text(), text()];
    const lines = diffLines(before, after);
    const side = (without: string) => lines.filter(({ kind }) => kind !== without).map((line) => line.text);
    expect([side("added").join("\n"), side("removed").join("\n")]).toEqual([before, after]);
  }
});

test("texts that are too long to compare are shown as removed and added, between what they share", () => {
  const many = (word: string) => Array.from({ length: 3_000 }, (_, index) => `${word} ${index}`).join("\n");
  const lines = diffLines(`head\n${many("old")}\ntail`, `head\n${many("new")}\ntail`);
  expect(lines[0]).toEqual({ kind: "same", text: "head" });
  expect(lines.at(-1)).toEqual({ kind: "same", text: "tail" });
  expect(lines.filter(({ kind }) => kind === "removed")).toHaveLength(3_000);
});

test("leaves out what is far from any change, and says how much", () => {
  const before = Array.from({ length: 20 }, (_, index) => `line ${index}`);
  const after = before.with(10, "changed");
  const shown = foldUnchanged(diffLines(before.join("\n"), after.join("\n")), 2);
  expect(shown.map((each) => (each.kind === "gap" ? each.lines : each.text))).toEqual([
    8,
    "line 8",
    "line 9",
    "line 10",
    "changed",
    "line 11",
    "line 12",
    7,
  ]);
});
