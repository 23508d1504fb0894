import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  SandboxError,
  type LayerDraft,
  type Layers,
  type Sandbox,
  type SandboxCapabilities,
  type SandboxDriver,
  type SandboxLimits,
  type Volume,
} from "../port.ts";
import { defaultOwners, openVolumes } from "../volumes.ts";
import type { ConformanceCase } from "./conformance-case.ts";
import { auditCases } from "./audit-cases.ts";
import { egressCases } from "./egress-cases.ts";
import { execCases } from "./exec-cases.ts";
import { fileCases } from "./file-cases.ts";
import { HARNESS_PROGRAMS_DIR } from "../layout.ts";
import type { SandboxProgram } from "../programs.ts";
import { imageCases } from "./image-cases.ts";
import { layerCases } from "./layer-cases.ts";
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

const ALL_CASES: readonly ConformanceCase[] = [
  ...execCases,
  ...fileCases,
  ...lifecycleCases,
  ...limitCases,
  ...auditCases,
  ...egressCases,
  ...programCases,
  ...layerCases,
  ...imageCases,
];

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
  const layersMissing = await whyNoLayers(driver);
  return {
    cases: ALL_CASES.map((each) => ({
      name: each.name,
      skipped: each.needs === "layers" ? layersMissing : reasonToSkip(each, capabilities),
      run: () => runCase(each, driver, capabilities, dir),
    })),
    close: () => rm(dir, { recursive: true, force: true }),
  };
}

function reasonToSkip({ needs }: ConformanceCase, capabilities: SandboxCapabilities): string | null {
  if (needs === undefined || needs === "layers") return null;
  if (needs === "isolation") return capabilities.isolation === "none" ? "the driver does not isolate" : null;
  return capabilities.enforces.includes(needs) ? null : `the driver does not enforce ${needs} here`;
}

async function whyNoLayers({ name, layers }: SandboxDriver): Promise<string | null> {
  if (layers === undefined) return `${name} has no layers`;
  try {
    await layers.systemKey();
    return null;
  } catch (error) {
    if (error instanceof SandboxError && error.code === "unavailable") return error.message;
    throw error;
  }
}

async function runCase(
  each: ConformanceCase,
  driver: SandboxDriver,
  capabilities: SandboxCapabilities,
  dir: string,
): Promise<void> {
  const volumes = await openVolumes(dir, await defaultOwners());
  const made: { volumes: Volume[]; sandboxes: Sandbox[]; drafts: LayerDraft[] } = { volumes: [], sandboxes: [], drafts: [] };
  const createVolume = async (): Promise<Volume> => {
    const volume = await volumes.create();
    made.volumes.push(volume);
    return volume;
  };
  try {
    await each.run({
      capabilities,
      createVolume,
      createSandbox: async ({ volume, limits, env = {}, openEgress = null, equipment } = {}) => {
        const spec = { volume: volume ?? (await createVolume()), limits: { ...LIMITS, ...limits }, env, openEgress };
        const sandbox = await driver.create(equipment === undefined ? spec : { ...spec, equipment });
        made.sandboxes.push(sandbox);
        return sandbox;
      },
      get layers() {
        return layersOf(driver);
      },
      async draftLayer(name, limits, image = null) {
        const spec = { limits: { ...LIMITS, ...limits }, env: {}, openEgress: null };
        const draft = await layersOf(driver).draft(name, spec, image);
        made.drafts.push(draft);
        return draft;
      },
    });
  } finally {
    await Promise.all(made.drafts.map((draft) => draft.discard()));
    await Promise.all(made.sandboxes.map((sandbox) => sandbox.destroy()));
    await Promise.all(made.volumes.map(({ id }) => volumes.remove(id)));
  }
}

function layersOf({ name, layers }: SandboxDriver): Layers {
  if (layers === undefined) throw new Error(`${name} has no layers`);
  return layers;
}
