import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import { ToastProvider } from "../ui/toast.tsx";
import { Markdown } from "./markdown.tsx";

function render(text: string): string {
  const html = renderToStaticMarkup(createElement(ToastProvider, null, createElement(Markdown, { text })));
  return html.replace(/<div class="toasts".*$/s, "");
}

test("the usual is rendered: emphasis, lists, tables, code", () => {
  const html = render("**bold** `code`\n\n1. one\n2. two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```js\nlet x;\n```");
  for (const part of ["<strong>bold</strong>", "<code>code</code>", "<ol", ">1</td>", "let x;"]) expect(html).toContain(part);
});

test.each([
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "<svg onload=alert(1)>",
  "text <iframe src=//evil.test></iframe> text",
  "<style>*{display:none}</style>",
  "<a href='javascript:alert(1)'>x</a>",
])("HTML stays text: %s", (text) => {
  const html = render(text);
  expect(html).not.toMatch(/<(?:script|img|svg onload|iframe|style|a )/);
  expect(html).toContain("&lt;");
});

test.each([
  "[x](javascript:alert(1))",
  "[x](data:text/html,1)",
  "[x](/console)",
  "![x](javascript:alert(1))",
  "<javascript:alert(1)>",
])("no link is made of %s", (text) => {
  expect(render(text)).not.toContain("<a ");
});

test("links open elsewhere, tell nothing, and say where they lead", () => {
  const html = render("[the bank](https://evil.test/login)");
  expect(html).toContain('href="https://evil.test/login" target="_blank" rel="noopener noreferrer"');
  expect(html).toContain("(evil.test)");
});

test.each(["http://bank.example@evil.test/x", "<https://bank.example@evil.test/x>"])(
  "an address that seems another: %s",
  (text) => {
    expect(render(text)).toContain("(evil.test)");
  },
);

test("an address that is written out is not said twice", () => {
  for (const text of ["https://a.test/x", "<https://a.test/x>", "https://a.test"]) expect(render(text)).not.toContain("(a.test)");
});

test("images are not loaded", () => {
  const html = render("![pixel](https://evil.test/pixel.png)");
  expect(html).not.toContain("<img");
  expect(html).toContain('href="https://evil.test/pixel.png"');
});

test("bidi controls are visible marks, also within code and links", () => {
  const html = render("a\u202eb `c\u2066d` [e\u202df](https://a.test)");
  for (const mark of ["RLO", "LRI", "LRO"]) expect(html).toContain(`>${mark}</span>`);
});

test("definitions and footnotes hide nothing", () => {
  const html = render("[hidden]: https://a.test 'words'\n\ntext[^1]\n\n[^1]: the note");
  expect(html).toContain("words");
  expect(html).toContain("the note");
});

test.each([
  ["nested quotes", ">".repeat(20_000)],
  ["nested emphasis", "*a ".repeat(10_000)],
  ["dashes", "- ".repeat(20_000)],
  ["nested quotes over lines", Array.from({ length: 200 }, (_, depth) => `${"> ".repeat(depth)}x`).join("\n")],
  ["backticks", "`a``b".repeat(8_000)],
  ["autolinks", "http://a.".repeat(4_000)],
  ["angle brackets", "<a ".repeat(13_000)],
  ["table cells", `|${"a|".repeat(2_000)}\n|${"-|".repeat(2_000)}\n|${"b|".repeat(2_000)}`],
  ["brackets", "[".repeat(20_000)],
  ["list markers far apart", `${`-${" ".repeat(20)}`.repeat(9)}${"x".repeat(1_000)}`],
  [
    "nested lists",
    Array.from({ length: 300 }, (_, depth) => `${"  ".repeat(depth)}- x`)
      .join("\n")
      .slice(0, 40_000),
  ],
])("hostile %s neither throw nor disappear", (_name, text) => {
  expect(render(text).length).toBeGreaterThan(1_000);
});

test.each([
  ["list markers", `${`-${" ".repeat(20)}`.repeat(10)}x`],
  ["punctuation behind an address", `http://a.test/${"!".repeat(20_000)}a`],
  ["references behind an address", `http://a.test/${"&a;".repeat(10_000)}a`],
  ["lines that go on with a quote", `>>>>>>>>> a\n${"b\n".repeat(18_000)}`],
  ["lists within lists on every line", `${"- ".repeat(9)}words\n`.repeat(900)],
])("hostile %s are not given to the parser", (_name, text) => {
  const html = render(text);
  expect(html.length).toBeGreaterThan(200);
  expect(html).not.toContain('class="markdown"');
});
