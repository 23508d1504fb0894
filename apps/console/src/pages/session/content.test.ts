import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import { ToastProvider } from "../../ui/toast.tsx";
import { Content } from "./content.tsx";

type Blocks = Parameters<typeof Content>[0]["blocks"];

function render(...blocks: Blocks): string {
  return renderToStaticMarkup(createElement(ToastProvider, null, createElement(Content, { blocks })));
}

const found = (source: string, title: string): Blocks[number] => ({
  type: "search_result",
  source,
  title,
  content: [{ type: "text", text: "words" }],
  citations: { enabled: false },
});

test.each(["The bank", "https://bank.example/login"])("a source titled %j says where it leads", (title) => {
  const html = render(found("https://evil.test/login", title));
  expect(html).toContain('href="https://evil.test/login" target="_blank" rel="noopener noreferrer"');
  expect(html).toContain("(evil.test)");
});

test("a source that is no address of the web is no link", () => {
  const html = render(found("javascript:alert(1)", "The bank"));
  expect(html).not.toContain("<a ");
  expect(html).toContain("javascript:alert(1)");
});

test("titles of documents have their hidden characters as marks", () => {
  const text = { type: "text", media_type: "text/plain", data: "words" } as const;
  const base64 = { type: "base64", media_type: "application/pdf", data: "AAAA" } as const;
  for (const source of [text, base64]) {
    const html = render({ type: "document", source, title: "re\u202egnp.exe" });
    expect(html).not.toContain("\u202e");
    expect(html).toContain("RLO");
  }
});
