import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import { ToolLine } from "./tool-line.tsx";

test("the name of a tool is shown with its hidden characters as marks, in the accessible name, too", () => {
  const use = {
    type: "agent.custom_tool_use",
    id: "sevt_1",
    processed_at: "2026-01-01T00:00:00Z",
    name: "re\u202egnp.exe",
    input: {},
  } as const;
  const item = { kind: "tool", id: use.id, use, confirmation: null, result: null } as const;
  const html = renderToStaticMarkup(createElement(ToolLine, { item, open: false, onToggle: () => undefined }));
  expect(html).not.toContain("\u202e");
  expect(html).toContain('aria-label="Tool call re‹RLO›gnp.exe"');
});
