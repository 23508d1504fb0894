import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Finding } from "@sandbox0/sandbox";
import { type Command, EXIT, JSON_OPTION, type Output } from "./command.ts";
import { checkDataDir, checkMachine, checkNode, checkPort, checkPostgres, checkProviders } from "./doctor-machine.ts";
import { printJson, printLine } from "./print.ts";
import { loadSettings, type Settings } from "./settings.ts";

interface Diagnosis extends Finding {
  /** `false`: the server works without it, with less. */
  required: boolean;
}

export const doctor: Command = {
  name: "doctor",
  summary: "Say what this machine can and cannot do, and how to fix it.",
  positionals: [],
  options: { ...JSON_OPTION },
  details: "Exit code 0: 'sandbox0 serve' works here. 1: something it needs is missing.",
  async run(args, output) {
    const settings = loadSettings();
    const diagnoses = await diagnose(settings);
    const healthy = diagnoses.every((finding) => finding.ok || !finding.required);
    if (args.flag("json")) printJson(output, { ok: healthy, findings: diagnoses });
    else printDiagnoses(output, diagnoses, healthy);
    return healthy ? EXIT.ok : EXIT.failed;
  },
};

async function diagnose(settings: Settings): Promise<Diagnosis[]> {
  return [
    required(checkNode()),
    advice(checkMachine()),
    required(await checkDataDir(settings.dataDir)),
    required(await checkPostgres(settings)),
    required(await checkPort(settings)),
    ...(await checkSandbox()).map(required),
    ...(await checkEgress(settings)),
    ...(await checkHarnesses(settings)),
    advice(checkProviders(settings)),
  ];
}

const required = (finding: Finding): Diagnosis => ({ ...finding, required: true });
const advice = (finding: Finding): Diagnosis => ({ ...finding, required: false });

/** The way out of the sandboxes. That `socat` is there, which leads to it, the sandbox driver says. */
async function checkEgress({ dataDir }: Settings): Promise<Diagnosis[]> {
  const { checkEgressGateway, checkOpenFiles } = await import("@sandbox0/server/main");
  return [required(await checkEgressGateway(dataDir)), advice(checkOpenFiles())];
}

/** Each harness, and of those that are a vendor's program which version is installed. Only the default one is needed. */
async function checkHarnesses({ sandbox, harness }: Settings): Promise<Diagnosis[]> {
  const { findInstalledHarnesses } = await import("@sandbox0/server/main");
  return findInstalledHarnesses({ sandbox }).offers.map(({ name, version, placement, apis, unavailable }) => {
    const where = placement === "agent-in-sandbox" ? "in the session's sandbox" : "in the server";
    const detail = unavailable ?? `${version === null ? "" : `${version}, `}runs ${where}, speaks ${apis.join(", ")}`;
    const fix =
      unavailable === null
        ? {}
        : { fix: "Install its npm package (in a checkout: 'make setup'), or use another harness; see docs/harnesses.md." };
    return { name: `harness: ${name}`, ok: unavailable === null, detail, ...fix, required: name === harness };
  });
}

/** What the default driver finds when it gets ready to start a sandbox, and what it can enforce here. */
async function checkSandbox(): Promise<Finding[]> {
  const { createBubblewrapDriver } = await import("@sandbox0/sandbox");
  const dir = await mkdtemp(join(tmpdir(), "sandbox0-doctor-"));
  try {
    const driver = createBubblewrapDriver({ dir });
    const findings = (await driver.check()).map((finding) => ({ ...finding, name: `${driver.name}: ${finding.name}` }));
    if (!findings.every((finding) => finding.ok)) return findings;
    const { isolation, enforces } = await driver.capabilities();
    return [...findings, { name: driver.name, ok: true, detail: `isolates by ${isolation}, enforces ${enforces.join(", ")}` }];
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

function printDiagnoses(output: Output, diagnoses: readonly Diagnosis[], healthy: boolean): void {
  const width = Math.max(...diagnoses.map((finding) => finding.name.length));
  for (const { name, ok, required, detail, fix } of diagnoses) {
    const mark = ok ? "ok  " : required ? "FAIL" : "note";
    printLine(output, `${mark}  ${name.padEnd(width)}  ${detail}`);
    if (!ok && fix !== undefined) printLine(output, `${" ".repeat(width + 8)}→ ${fix}`);
  }
  printLine(output);
  printLine(output, healthy ? "This machine can run sandbox0." : "Something sandbox0 needs is missing: see FAIL above.");
}
