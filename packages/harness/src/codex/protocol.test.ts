import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { CODEX_BINARY, findCodexProgram } from "./find-codex-program.ts";
import { generateProtocol } from "./protocol.fixture.ts";

const BIOME = new URL("../../../../node_modules/.bin/biome", import.meta.url).pathname;
const PROTOCOL = new URL("./protocol.ts", import.meta.url).pathname;

test("finds the program that is installed, at the version of the manifest", () => {
  const program = findCodexProgram();
  assert.ok(!("unavailable" in program));
  const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  assert.equal(program.version, manifest.dependencies["@openai/codex"]);
  assert.equal(program.mountedAt, "/opt/harness/codex");
});

/** Fails when the program was upgraded: look at what changed, then `npx vitest run <this file> -u`. */
test("the protocol is what the installed program speaks", { timeout: 60_000 }, async () => {
  const program = findCodexProgram();
  assert.ok(!("unavailable" in program));
  await expect(generateProtocol(join(program.directory, CODEX_BINARY), BIOME)).toMatchFileSnapshot(PROTOCOL);
});
