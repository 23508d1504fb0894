import { afterAll, beforeAll, test } from "vitest";
import { harnessMatrix } from "../testing/index.ts";
import { createSandpi } from "./sandpi.ts";

const sandpi = createSandpi();
beforeAll(() => sandpi.warmUp());
afterAll(() => sandpi.close());

for (const { title, isLimited, run } of harnessMatrix(sandpi)) (isLimited ? test.fails : test)(title, run);
