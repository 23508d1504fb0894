import { createElement, type ReactElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import { IconButton } from "../ui/button.tsx";
import { CodeBlock } from "../ui/code-block.tsx";
import { TextField } from "../ui/field.tsx";
import { Menu } from "../ui/menu.tsx";
import { ToastProvider } from "../ui/toast.tsx";
import { DiffView } from "./diff-view.tsx";
import { ProgressBar } from "./progress-bar.tsx";

/** Reads as another name where the control is obeyed. */
const NAME = "re\u202egnp.exe";
const SHOWN = "re‹RLO›gnp.exe";

test.each<[string, () => ReactElement]>([
  ["a button", () => createElement(IconButton, { icon: "close", label: NAME })],
  ["a menu", () => createElement(Menu, { label: NAME, items: [] })],
  ["a field", () => createElement(TextField, { label: NAME })],
  ["a text", () => createElement(CodeBlock, { text: "words", label: NAME })],
  ["a progress", () => createElement(ProgressBar, { label: NAME, fraction: 0.5 })],
  ["a difference", () => createElement(DiffView, { label: NAME, before: "a", after: "b" })],
])("a name within the label of %s cannot turn its direction", (_what, element) => {
  const html = renderToStaticMarkup(createElement(ToastProvider, null, element()));
  expect(html).not.toContain("\u202e");
  expect(html).toContain(SHOWN);
});
