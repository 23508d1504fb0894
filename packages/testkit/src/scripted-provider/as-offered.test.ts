import { expect, test } from "vitest";
import { asOffered } from "./as-offered.ts";
import type { ScriptedRequest } from "./request.ts";
import { call, say } from "./step.ts";

const request = (...toolNames: string[]) => ({ toolNames }) as unknown as ScriptedRequest;

test("a script calls tools by the names that the request has for them", async () => {
  const script = asOffered(({ toolNames }) => [say(String(toolNames.includes("bash"))), call("bash", {}), call("mcp", {})]);
  const called = async (...toolNames: string[]) =>
    [(await script(request(...toolNames))) ?? []]
      .flat()
      .map((part) => ("name" in part ? part.name : "text" in part && part.text));
  expect(await called("bash", "mcp")).toEqual(["true", "bash", "mcp"]);
  expect(await called("Bash")).toEqual(["true", "Bash", "mcp"]);
  expect(await called("mcp__tools__bash", "Bashes")).toEqual(["true", "mcp__tools__bash", "mcp"]);
  expect(await called()).toEqual(["false", "bash", "mcp"]);
});
