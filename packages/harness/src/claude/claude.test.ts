import { afterAll, test } from "vitest";
import { harnessMatrix, openSandboxStage } from "../testing/index.ts";
import { createClaude } from "./claude.ts";
import { findClaudeProgram } from "./find-claude-program.ts";

const program = findClaudeProgram();
if ("unavailable" in program) throw new Error(program.unavailable);
const stage = await openSandboxStage([program]);
const claude = createClaude({ program });
afterAll(async () => {
  await claude.close();
  await stage.close();
});

for (const { title, isLimited, run } of harnessMatrix(claude, stage)) (isLimited ? test.fails : test)(title, run);
