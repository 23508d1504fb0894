import { expect, test } from "vitest";
import { createWireNames } from "./wire-names.ts";

test("leaves names as they are, and frees those that Codex keeps to itself", () => {
  const tools = ["bash", "exec_command", "mcp__docs__find", "mcp", "shell_command"];
  const names = createWireNames(tools);
  expect(tools.map(names.toWire)).toEqual(["bash", "exec_command_", "mcp_docs__find", "mcp_", "shell_command_"]);
  expect(tools.map(names.toWire).map(names.fromWire)).toEqual(tools);
});

test("gives no two tools one name", () => {
  const tools = ["mcp__docs__find", "mcp_docs__find", "mcp_docs__find_", "exec_command_", "exec_command"];
  const names = createWireNames(tools);
  expect(new Set(tools.map(names.toWire)).size).toBe(tools.length);
  expect(tools.map(names.toWire).map(names.fromWire)).toEqual(tools);
});

test("knows names of tools that are gone, and names that the model made up", () => {
  const names = createWireNames(["bash"]);
  expect([names.toWire("mcp__old__tool"), names.toWire("old"), names.fromWire("made_up")]).toEqual([
    "mcp_old__tool",
    "old",
    "made_up",
  ]);
});
