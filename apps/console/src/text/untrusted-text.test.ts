import { expect, test } from "vitest";
import { markHidden, plainLine, PREVIEW_LIMITS, safeHref, showText, stripTerminal } from "./untrusted-text.ts";

const MB = 1024 * 1024;
const roomy = { charsMax: 10_000, linesMax: 1_000, lineCharsMax: 1_000 };

test("terminal sequences go: colours, cursor, titles, links; what only looks like one stays", () => {
  const coloured = "\x1b[1;31mred\x1b[0m \x1b]0;title\x07plain \x1b]8;;https://evil.test\x1b\\link\x1b]8;;\x1b\\ \x9b2Jend";
  expect(stripTerminal(coloured)).toBe("red plain link end");
  expect(stripTerminal("a[31m b")).toBe("a[31m b");
});

test("a string sequence that never ends hides nothing", () => {
  expect(stripTerminal("\x1b]0;secret\nsecond line")).toBe("0;secret\nsecond line");
});

test("every end of a line is a newline", () => {
  expect(stripTerminal("a\r\nb\rc\n")).toBe("a\nb\nc\n");
});

test("bidi controls, zero-width and tag characters and controls are marks; text around them stays", () => {
  const pieces = markHidden("ab\u202ecd\u2066e\u200bf\u{e0041}g\x08h\ti\n");
  expect(pieces.map((piece) => (typeof piece === "string" ? piece : `<${piece.mark}>`)).join("")).toBe(
    "ab<RLO>cd<LRI>e<ZWSP>f<TAG>g<^H>h\ti\n",
  );
});

test("ordinary writing has no marks: accents, Arabic, emoji with joiners", () => {
  const text = "naïve عربي 👩‍👩‍👧 日本語";
  expect(markHidden(text)).toEqual([text]);
});

test("where there can be no elements, marks are words", () => {
  expect(plainLine("re\u202egnp.exe\nsecond")).toBe("re‹RLO›gnp.exe second");
});

test("a text within the limits is shown whole", () => {
  expect(showText("one\ntwo", roomy)).toEqual({ pieces: ["one\ntwo"], hiddenChars: 0 });
});

test("a line of 10 MB is cut, and what is missing is counted", () => {
  const shown = showText("x".repeat(10 * MB), PREVIEW_LIMITS);
  expect(shown.pieces).toEqual([`${"x".repeat(PREVIEW_LIMITS.lineCharsMax)}…`]);
  expect(shown.hiddenChars).toBe(10 * MB - PREVIEW_LIMITS.lineCharsMax);
});

test("too many lines are cut", () => {
  const shown = showText("y\n".repeat(5), { ...roomy, linesMax: 2 });
  expect(shown).toEqual({ pieces: ["y\ny"], hiddenChars: 7 });
});

test("a cut never halves a surrogate pair", () => {
  const shown = showText("a😀b", { ...roomy, charsMax: 2 });
  expect(shown.pieces).toEqual(["a"]);
  expect(shown.hiddenChars).toBe(3);
});

test.each(["http://a.test/", "https://a.test/x?y#z", "mailto:a@b.test"])("%s may be a link", (address) => {
  expect(safeHref(address)).toBe(address);
});

test.each([
  "javascript:alert(1)",
  " JaVaScRiPt:alert(1)",
  "java\nscript:alert(1)",
  "data:text/html,x",
  "vbscript:x",
  "file:///etc/passwd",
  "blob:https://a.test/1",
  "//evil.test",
  "/console",
  "",
])("%j may not", (address) => {
  expect(safeHref(address)).toBeNull();
});
