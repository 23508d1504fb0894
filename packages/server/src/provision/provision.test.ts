import { expect, test } from "vitest";
import type { ProvisionPart, ProvisionSession } from "./port.ts";
import { createProvision } from "./provision.ts";

const session: ProvisionSession = {
  sessionId: "sesn_1",
  workspaceId: "wrkspc_1",
  environmentId: "env_1",
  agent: { name: "a" },
  signal: new AbortController().signal,
  report: () => Promise.resolve(),
};
const volume = { id: "vol_1", path: "/" };

for (const hook of ["beforeIdle", "atRest"] as const)
  test(`${hook} is called of every part in order, whatever those before it throw, and the first error is thrown`, async () => {
    const called: string[] = [];
    const part = (name: string, error: Error | null): ProvisionPart => ({
      name,
      [hook]: async () => {
        called.push(name);
        if (error !== null) throw error;
      },
    });
    const provision = createProvision([
      part("a", null),
      part("b", new Error("b fails")),
      part("c", new Error("c fails")),
      part("d", null),
    ]);
    await expect(provision[hook](session, volume)).rejects.toThrow("b fails");
    expect(called).toEqual(["a", "b", "c", "d"]);
  });
