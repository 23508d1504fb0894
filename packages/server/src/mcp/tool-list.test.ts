import type { ScriptedTool } from "@sandbox0/testkit";
import { expect, test } from "vitest";
import { bench, scripted } from "./connector.fixture.ts";
import { MCP_DESCRIPTION_CHARS_MAX, MCP_SCHEMA_CHARS_MAX } from "./limits.ts";

async function listed(...tools: ScriptedTool[]) {
  return (await bench().link(await scripted({ tools }))).tools;
}
const OPEN = { type: "object", properties: {} };
const withSchema = (schema: Record<string, unknown>): ScriptedTool => ({ name: "t", inputSchema: { type: "object", ...schema } });

test("a schema that a provider would refuse does not fail the session", async () => {
  const schemas: [Record<string, unknown>, unknown][] = [
    [
      { properties: { a: { type: "string" } }, required: ["a"] },
      { type: "object", properties: { a: { type: "string" } }, required: ["a"] },
    ],
    [{}, OPEN],
    [{ $schema: "https://json-schema.org/draft/2020-12/schema", anyOf: [{ required: ["a"] }], properties: {} }, OPEN],
    [{ properties: { "not a name!": {} } }, OPEN],
    [{ properties: { a: { description: "x".repeat(MCP_SCHEMA_CHARS_MAX) } } }, OPEN],
  ];
  for (const [given, usable] of schemas) expect((await listed(withSchema(given)))[0]?.inputSchema).toEqual(usable);
});

test("long descriptions are cut; a tool without one has its name", async () => {
  const [long, none] = await listed({ name: "long", description: "y".repeat(100_000) }, { name: "none" });
  expect(long?.description.length).toBeLessThan(MCP_DESCRIPTION_CHARS_MAX + 10);
  expect(none?.description).toContain("none");
});

test("names that cannot be configured, and second tools of one name, are left out", async () => {
  const tools = await listed({ name: "a" }, { name: "a", description: "another" }, { name: "x".repeat(200) });
  expect(tools).toEqual([{ name: "a", description: 'The tool "a".', inputSchema: OPEN }]);
});

test("a list without end in characters is refused", async () => {
  const description = "z".repeat(8_000);
  const tools = Array.from({ length: 1_000 }, (_, index) => ({ name: `t${index}`, description }));
  const server = await scripted({ tools, pageSize: 100 });
  expect((await bench().outage(server)).message).toMatch(/characters/);
});
