import fc from "fast-check";
import { expect, test } from "vitest";
import { mcpToolName, TOOL_NAME_CHARS_MAX } from "./mcp-tool-name.ts";

test("ordinary names can be read", () => {
  expect(mcpToolName("github", "create_issue")).toBe("mcp__github__create_issue");
  expect(mcpToolName("my-docs_2", "_search")).toBe("mcp__my-docs_2___search");
});

test("what two servers could both be called has a hash each", () => {
  const names = [mcpToolName("a", "b__c"), mcpToolName("a__b", "c"), mcpToolName("a_", "b"), mcpToolName("a", "_b")];
  expect(new Set(names).size).toBe(4);
  expect(names[0]).toBe("mcp__a__b__c");
});

test("every pair has a name that providers take, always the same, and no two the same", () => {
  const seen = new Map<string, string>();
  const part = fc.oneof(fc.string({ minLength: 1, maxLength: 140 }), fc.stringMatching(/^[ab_]{1,6}$/));
  fc.assert(
    fc.property(part, part, (server, tool) => {
      const name = mcpToolName(server, tool);
      const pair = JSON.stringify([server, tool]);
      expect(name).toMatch(/^[a-zA-Z0-9_-]+$/);
      expect(name.length).toBeLessThanOrEqual(TOOL_NAME_CHARS_MAX);
      expect(seen.get(name) ?? pair).toBe(pair);
      seen.set(name, pair);
    }),
    { numRuns: 2000 },
  );
});
