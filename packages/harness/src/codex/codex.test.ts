import { afterAll, describe, test } from "vitest";
import { harnessMatrix, openSandboxStage } from "../testing/index.ts";
import { createCodex } from "./codex.ts";
import { findCodexProgram } from "./find-codex-program.ts";

const program = findCodexProgram();
if ("unavailable" in program) throw new Error(program.unavailable);
const stage = await openSandboxStage([program]);
const codex = createCodex({ program });

describe("codex", () => {
  test.each(harnessMatrix(codex, stage))("$title", { timeout: 60_000 }, ({ run }) => run());
});

afterAll(async () => {
  await codex.close();
  await stage.close();
});
