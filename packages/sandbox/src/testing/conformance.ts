import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Sandbox, SandboxCapabilities, SandboxDriver, SandboxLimits, Volume } from "../port.ts";
import { defaultOwners, openVolumes } from "../volumes.ts";
import type { ConformanceCase } from "./conformance-case.ts";
import { auditCases } from "./audit-cases.ts";
import { egressCases } from "./egress-cases.ts";
import { execCases } from "./exec-cases.ts";
import { fileCases } from "./file-cases.ts";
import { HARNESS_PROGRAMS_DIR } from "../layout.ts";
import type { SandboxProgram } from "../programs.ts";
import { lifecycleCases } from "./lifecycle-cases.ts";
import { limitCases } from "./limit-cases.ts";
import { programCases } from "./program-cases.ts";
import { writeTestProgram } from "./test-program.ts";

const MIB = 1024 * 1024;
/** Roomy enough for every case but those that ask for less. */
const LIMITS: SandboxLimits = {
  memoryBytesMax: 512 * MIB,
  processesMax: 128,
  diskBytesMax: 512 * MIB,
  openFilesMax: 1024,
  cpuCoresMax: 2,
};

export interface SandboxConformance {
  cases: readonly { name: string /** Why not, or `null`. */; skipped: string | null; run(): Promise<void> }[];
  close(): Promise<void>;
}

/**
 * The suite that every sandbox driver passes.
 * @param createDriver of sandboxes that are shown these programs
 * @throws the driver's first failed check, as a sentence
 */
export async function openSandboxConformance(
  createDriver: (dir: string, programs: readonly SandboxProgram[]) => SandboxDriver,
): Promise<SandboxConformance> {
  const dir = await mkdtemp(join(tmpdir(), "sandbox0-conformance-"));
  const directory = join(dir, "test-program");
  await writeTestProgram(directory);
  const driver = createDriver(dir, [{ directory, mountedAt: `${HARNESS_PROGRAMS_DIR}/test` }]);
  const failed = (await driver.check()).find(({ ok }) => !ok);
  if (failed !== undefined) throw new Error(`${driver.name}: ${failed.name}: ${failed.detail}; ${failed.fix ?? ""}`);
  const capabilities = await driver.capabilities();
  return {
    cases: [...execCases, ...fileCases, ...lifecycleCases, ...limitCases, ...auditCases, ...egressCases, ...programCases].map(
      (each) => ({
        name: each.name,
        skipped: reasonToSkip(each, capabilities),
        run: () => runCase(each, driver, capabilities, dir),
      }),
    ),
    close: () => rm(dir, { recursive: true, force: true }),
  };
}

function reasonToSkip({ needs }: ConformanceCase, capabilities: SandboxCapabilities): string | null {
  if (needs === undefined) return null;
  if (needs === "isolation") return capabilities.isolation === "none" ? "the driver does not isolate" : null;
  return capabilities.enforces.includes(needs) ? null : `the driver does not enforce ${needs} here`;
}

async function runCase(
  each: ConformanceCase,
  driver: SandboxDriver,
  capabilities: SandboxCapabilities,
  dir: string,
): Promise<void> {
  const volumes = await openVolumes(dir, await defaultOwners());
  const made: { volumes: Volume[]; sandboxes: Sandbox[] } = { volumes: [], sandboxes: [] };
  const createVolume = async (): Promise<Volume> => {
    const volume = await volumes.create();
    made.volumes.push(volume);
    return volume;
  };
  try {
    await each.run({
      capabilities,
      createVolume,
      createSandbox: async ({ volume, limits, env = {}, openEgress = null } = {}) => {
        const spec = { volume: volume ?? (await createVolume()), limits: { ...LIMITS, ...limits }, env, openEgress };
        const sandbox = await driver.create(spec);
        made.sandboxes.push(sandbox);
        return sandbox;
      },
    });
  } finally {
    await Promise.all(made.sandboxes.map((sandbox) => sandbox.destroy()));
    await Promise.all(made.volumes.map(({ id }) => volumes.remove(id)));
  }
}
