import { afterAll, describe, test } from "vitest";
import { harnessMatrix, openSandboxStage } from "../testing/index.ts";
import { createCodex } from "./codex.ts";
import { findCodexProgram } from "./find-codex-program.ts";

/** What Codex cannot do, by the case that asks for it. Fails when it can: then the entry goes, here and in DIVERGENCES.md. */
const VENDOR_LIMITS: Readonly<Record<string, string>> = {
  "takes images and documents: base64, by url and as text": "no PDF is given to the model",
  "gives images, documents and search results of a tool to the model": "no PDF is given to the model",
};

const program = findCodexProgram();
if ("unavailable" in program) throw new Error(program.unavailable);
const stage = await openSandboxStage([program]);
const codex = createCodex({ program });

const matrix = harnessMatrix(codex, stage);
const isLimited = ({ title }: { title: string }): boolean =>
  Object.keys(VENDOR_LIMITS).some((name) => title.endsWith(`: ${name}`));

describe("codex", () => {
  test.each(matrix.filter((row) => !isLimited(row)))("$title", { timeout: 60_000 }, ({ run }) => run());
  test.fails.each(matrix.filter(isLimited))("$title", { timeout: 60_000 }, ({ run }) => run());
});

afterAll(async () => {
  await codex.close();
  await stage.close();
});
