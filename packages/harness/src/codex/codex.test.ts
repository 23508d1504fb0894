import { afterAll, test } from "vitest";
import { harnessMatrix, openSandboxStage } from "../testing/index.ts";
import { createCodex } from "./codex.ts";
import { findCodexProgram } from "./find-codex-program.ts";

const program = findCodexProgram();
if ("unavailable" in program) throw new Error(program.unavailable);
const stage = await openSandboxStage([program]);
const codex = createCodex({ program });

afterAll(async () => {
  await codex.close();
  await stage.close();
});

for (const { title, isLimited, run } of harnessMatrix(codex, stage)) (isLimited ? test.fails : test)(title, run);
