import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createScriptedProvider, demoScript, type ScriptedProvider } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect } from "vitest";
import { type ChildProgram, startProgram } from "./fixture/child-program.ts";
import { verifies } from "./fixture/verifies.ts";

const API_KEY = "key-of-the-programs";
const PROGRAM = readFileSync(join(import.meta.dirname, "programs/plain.ts"), "utf8");
const SDK = '"@anthropic-ai/sdk"';

let directory: string;
let provider: ScriptedProvider;
let server: ChildProgram;
let url: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "sandbox0-programs-"));
  symlinkSync(resolve("node_modules"), join(directory, "node_modules"));
  provider = await createScriptedProvider({ script: demoScript });
  server = startProgram("npx", ["sandbox0", "serve"], directory, {
    SANDBOX0_DATA_DIR: join(directory, "data"),
    SANDBOX0_PORT: "0",
    SANDBOX0_API_KEY: API_KEY,
    ANTHROPIC_API_KEY: "scripted",
    ANTHROPIC_BASE_URL: provider.url,
  });
  [, url = ""] = await server.waitFor(/^sandbox0 listening on (http:\S+)$/m);
});
afterAll(async () => {
  server.child.kill("SIGTERM");
  // Ends when the last process that holds the output has: npx and the server behind it.
  await server.ended;
  await provider.close();
  rmSync(directory, { recursive: true, force: true });
});

async function runWith(sdk: string): Promise<string[]> {
  const file = `plain-${sdk.replaceAll(/\W/g, "-")}.ts`;
  writeFileSync(join(directory, file), PROGRAM.replace(SDK, `"${sdk}"`));
  const program = startProgram(process.execPath, [file], directory, { PROGRAM_BASE_URL: url, PROGRAM_API_KEY: API_KEY });
  const { code, output } = await program.ended;
  expect({ code, output }).toMatchObject({ code: 0 });
  return output.trimEnd().split("\n");
}

function expectWholeSession(lines: string[]): void {
  const text = lines.join("\n");
  expect(text).toContain("The primes below 50 are 2, 3, 5, 7, 11");
  const types = lines.filter((line) => /^[a-z]+\.[a-z_]+$/.test(line));
  expect(types[0]).toBe("user.message");
  expect(types.filter((type) => type === "agent.tool_result")).toHaveLength(3);
  expect(types.slice(-2)).toEqual(["session.usage", "session.status_idle"]);
  expect(lines.at(-1)).toBe("session idle");
}

verifies("programs.plain", "the plain program with SDK 1.12.0", async () => {
  expect(PROGRAM).toContain(`from ${SDK}`);
  expectWholeSession(await runWith("@anthropic-ai/sdk"));
});

verifies("programs.old-sdk", "the same program with SDK 0.86.1", async () => {
  expectWholeSession(await runWith("anthropic-sdk-0-86"));
});
