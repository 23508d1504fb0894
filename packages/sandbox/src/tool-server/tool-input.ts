import type { BuiltInTool } from "./tool-definitions.ts";

export type CheckedInput = { ok: true; input: Record<string, unknown> } | { ok: false; message: string };

/**
 * Holds a model's input against the tool's schema, because the implementations trust their types. `null` for something
 * optional is the same as leaving it out; properties that the tool does not know are dropped.
 */
export function checkToolInput(tool: BuiltInTool, input: unknown): CheckedInput {
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    return { ok: false, message: `${tool.name}: the input must be an object` };
  }
  const { properties, required = [] } = tool.inputSchema;
  const given = input as Record<string, unknown>;
  const checked: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(properties)) {
    const value = given[name];
    if (value === undefined || value === null) {
      if (required.includes(name)) return { ok: false, message: `${tool.name}: ${name} is required` };
    } else if (!hasType(value, schema)) {
      const type = schema.items === undefined ? schema.type : `${schema.type} of ${schema.items.type}`;
      return { ok: false, message: `${tool.name}: ${name} must be of type ${type}` };
    } else {
      checked[name] = value;
    }
  }
  return { ok: true, input: checked };
}

function hasType(value: unknown, schema: { type: string; items?: { type: "integer" } }): boolean {
  if (schema.type === "array") return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item));
  if (schema.type === "integer") return Number.isSafeInteger(value);
  return typeof value === schema.type;
}
