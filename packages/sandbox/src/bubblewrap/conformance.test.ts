import { afterAll, describe, test } from "vitest";
import { createBubblewrapDriver } from "./driver.ts";
import { openSandboxConformance } from "../testing/index.ts";

const suite = await openSandboxConformance((dir, programs) => createBubblewrapDriver({ dir, programs }));

describe("bubblewrap conforms", { timeout: 120_000 }, () => {
  afterAll(() => suite.close());
  for (const { name, skipped, run } of suite.cases)
    test.skipIf(skipped !== null)(skipped === null ? name : `${name} (${skipped})`, run);
});
