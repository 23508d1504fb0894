import { afterAll, test } from "vitest";
import { harnessMatrix, openSandboxStage } from "../testing/index.ts";
import { createClaude } from "./claude.ts";
import { findClaudeProgram } from "./find-claude-program.ts";

/** What Claude Code does not tell, or does by itself; each is in DIVERGENCES.md. */
const VENDOR_LIMITS: ReadonlySet<string> = new Set([
  // It keeps the header to itself.
  "states the error and leaves nothing of the response: 429 with retry-after",
  // It asks once more, without a stream, and reports the second answer.
  "states the error and leaves nothing of the response: 404",
  // It says "server error", whichever it was.
  "tells an overloaded provider in the stream from a broken one",
]);

const program = findClaudeProgram();
if ("unavailable" in program) throw new Error(program.unavailable);
const stage = await openSandboxStage([program]);
const claude = createClaude({ program });
afterAll(async () => {
  await claude.close();
  await stage.close();
});

for (const { title, name, run } of harnessMatrix(claude, stage)) (VENDOR_LIMITS.has(name) ? test.fails : test)(title, run);
