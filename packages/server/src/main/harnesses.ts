import {
  createClaude,
  createCodex,
  findClaudeProgram,
  findCodexProgram,
  type Harness,
  type HarnessProgram,
  type ProviderConfig,
} from "@sandbox0/harness";
import type { HarnessOffer } from "../resources/harnesses/harnesses.ts";

type Api = ProviderConfig["api"];
type RunningHarness = Harness & { close(): Promise<void> };

const SANDPI_APIS: readonly Api[] = ["anthropic-messages", "openai-responses", "openai-completions"];

/** A harness whose program is a vendor's package, which may not be installed. */
interface VendorHarness {
  name: Harness["name"];
  api: Api;
  find(): HarnessProgram | { unavailable: string };
  create(program: HarnessProgram): RunningHarness;
}

const VENDORS: readonly VendorHarness[] = [
  { name: "claude", api: "anthropic-messages", find: findClaudeProgram, create: (program) => createClaude({ program }) },
  { name: "codex", api: "openai-responses", find: findCodexProgram, create: (program) => createCodex({ program }) },
];

/** What this server can run, found out without starting anything. */
export interface InstalledHarnesses {
  /** Of all that it knows, for the API. */
  offers: readonly HarnessOffer[];
  /** For every sandbox. */
  programs: readonly HarnessProgram[];
  /** What a harness speaks; nothing for one that it does not know. */
  apisOf(name: string): readonly Api[];
  /** Those that run in sandboxes, ready for turns; each is to be closed. */
  create(): RunningHarness[];
}

/** @param config its `sandbox`: the driver by name */
export function findInstalledHarnesses({ sandbox }: { sandbox: string }): InstalledHarnesses {
  const found = VENDORS.map((vendor) => ({ vendor, program: findProgram(vendor, sandbox) }));
  const installed = found.flatMap(({ vendor, program }) => ("unavailable" in program ? [] : [{ vendor, program }]));
  return {
    offers: [
      { name: "sandpi", version: null, placement: "sandbox-as-tool", apis: SANDPI_APIS, unavailable: null },
      ...found.map(({ vendor, program }) => offerOf(vendor, program)),
    ],
    programs: installed.map(({ program }) => program),
    apisOf: (name) => (name === "sandpi" ? SANDPI_APIS : VENDORS.flatMap((vendor) => (vendor.name === name ? [vendor.api] : []))),
    create: () => installed.map(({ vendor, program }) => vendor.create(program)),
  };
}

function findProgram(vendor: VendorHarness, sandbox: string): HarnessProgram | { unavailable: string } {
  if (sandbox !== "process") return vendor.find();
  return { unavailable: "it runs in the sandbox, and those of SANDBOX0_SANDBOX=process have no way to the model gateway" };
}

function offerOf({ name, api }: VendorHarness, program: HarnessProgram | { unavailable: string }): HarnessOffer {
  const fixed = { name, placement: "agent-in-sandbox", apis: [api] } as const;
  return "unavailable" in program
    ? { ...fixed, version: null, unavailable: program.unavailable }
    : { ...fixed, version: program.version, unavailable: null };
}
