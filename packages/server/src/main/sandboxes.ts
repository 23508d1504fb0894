import { join } from "node:path";
import {
  type BubblewrapOptions,
  createBubblewrapDriver,
  createProcessDriver,
  createSandboxPool,
  type SandboxDriver,
  type SandboxPool,
  type SandboxProgram,
} from "@sandbox0/sandbox";
import type { Logger } from "pino";
import type { Config } from "./config.ts";
import type { Gateways } from "./gateways.ts";

export interface SandboxParts {
  config: Config;
  logger: Logger;
  /** Of harnesses that run in sandboxes. */
  programs: readonly SandboxProgram[];
}

export function createDriver({ config, logger, programs }: SandboxParts, { egress }: Pick<Gateways, "egress">): SandboxDriver {
  const onProblem = (problem: Error) => logger.warn({ err: problem }, "trouble with a sandbox");
  const egressCa = egress === null ? {} : { egressCa: egress.caPem };
  const dir = join(config.dataDir, "sandbox");
  return chooseDriver(config, { dir, programs, onProblem, ...egressCa });
}

export async function createSandboxes(
  driver: SandboxDriver,
  { config, logger }: SandboxParts,
  { egress }: Pick<Gateways, "egress">,
  onPause: (sessionId: string) => void,
): Promise<SandboxPool> {
  return createSandboxPool(driver, {
    dir: join(config.dataDir, "sandbox", "volumes"),
    env: config.packageMirrors,
    openEgress: egress?.open ?? null,
    warmCount: config.warmSandboxes,
    onProblem: (problem) => logger.warn({ err: problem }, "trouble with a sandbox"),
    onPause,
  });
}

/** `process` isolates nothing: only by name, and said aloud (design §6). */
function chooseDriver(config: Config, options: BubblewrapOptions & { onProblem(problem: Error): void }): SandboxDriver {
  switch (config.sandbox) {
    case "auto":
    case "bubblewrap":
      return createBubblewrapDriver(options);
    case "process":
      options.onProblem(
        new Error("SANDBOX0_SANDBOX=process: tools run WITHOUT isolation, as this server's user. For tests only."),
      );
      return createProcessDriver(options);
    case "docker":
      throw new Error("SANDBOX0_SANDBOX: the docker driver is not built yet; use bubblewrap");
  }
}
