import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, realpathSync, statSync } from "node:fs";
import { chown, readdir, stat, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { belongsToTheDead, instanceTag } from "../instance.ts";
import { EGRESS_PORT, VOLUME_MOUNTS } from "../layout.ts";
import { makeDir, PASSAGE_MODE } from "../make-dir.ts";
import {
  SandboxError,
  type Finding,
  type Sandbox,
  type SandboxCapabilities,
  type SandboxDriver,
  type SandboxLimits,
  type SandboxSpec,
} from "../port.ts";
import { collectStart } from "../collect-start.ts";
import { removeTree } from "../remove-tree.ts";
import { checkProgramMounts, type SandboxProgram } from "../programs.ts";
import { prepareRuntime } from "../runtime.ts";
import { defaultOwners, openVolumes } from "../volumes.ts";
import { openCgroupHost, readOwnGroups, type CgroupHost } from "./cgroup.ts";
import { writeCaBundle } from "./ca-bundle.ts";
import { DiskWatch } from "./disk-watch.ts";
import { openEgressSocket, openNowhere } from "./egress-socket.ts";
import { SHARED_ETC_DIRS, writeEtc } from "./etc-files.ts";
import {
  checkHost,
  finding,
  findHostTools,
  isReachableForAll,
  isRoot,
  seccompArch,
  systemDirs,
  type SandboxUser,
} from "./host.ts";
import type { LaunchHost } from "./launch.ts";
import { openProgram } from "./open-program.ts";
import { BubblewrapLayers } from "./layers.ts";
import { createBubblewrapSandbox } from "./sandbox.ts";
import { Spawner } from "./spawner.ts";
import { seccompFilter } from "./seccomp.ts";
import { startFix } from "./start-fix.ts";
import { PLAIN_SYSTEM, type SystemPlan } from "./system-view.ts";

/** How long the spawner process outlives the last sandbox: another one may be on its way. */
const SPAWNER_LINGER_MS = 2000;
/** Read, write and pass, for the owner. */
const OWNER_ALL = 0o700;
const BASH_PATH = "/bin/bash";
const CGROUP_ROOT = "/sys/fs/cgroup";

const CHECK_LIMITS: SandboxLimits = {
  memoryBytesMax: 256 * 1024 ** 2,
  processesMax: 32,
  diskBytesMax: 16 * 1024 ** 2,
  openFilesMax: 256,
  cpuCoresMax: 1,
};

export interface BubblewrapOptions {
  /** Host directory for what the driver keeps, the runtime and temporary files; the volumes must be in it too. */
  dir: string;
  /** Default: where distributions put it. */
  bwrapPath?: string;
  /** Shown in every sandbox. Default: none. */
  programs?: readonly SandboxProgram[];
  /** The certificate of the egress gateway, in PEM, that sandboxes with a way out shall trust. */
  egressCa?: string;
  /** Of each command with which a layer is tried before it is kept. Default: a minute. */
  layerCommandMsMax?: number;
  /** Told of what goes wrong outside any call. */
  onProblem?: (problem: Error) => void;
}

/**
 * Sandboxes made of Linux namespaces by bubblewrap, for root and for users. Run as root, each sandbox's processes are
 * the (unprivileged) owner of its volume; run as a user, they are that user, and only the namespaces keep them apart.
 */
export function createBubblewrapDriver(options: BubblewrapOptions): SandboxDriver {
  return new BubblewrapDriver(options);
}

interface Prepared {
  host: LaunchHost;
  cgroups: CgroupHost;
  diskWatch: DiskWatch;
  spawner: Spawner;
}

class BubblewrapDriver implements SandboxDriver {
  readonly name = "bubblewrap";
  readonly #options: BubblewrapOptions;
  readonly layers: BubblewrapLayers;
  readonly #sandboxesDir: string;
  readonly #layersDir: string;
  readonly #instance = instanceTag();
  #prepared: Promise<Prepared> | null = null;
  #living = 0;

  constructor(options: BubblewrapOptions) {
    checkProgramMounts(options.programs ?? []);
    this.#options = { ...options, dir: resolve(options.dir) };
    this.#sandboxesDir = join(this.#options.dir, "sandboxes");
    this.#layersDir = join(this.#options.dir, "layers");
    this.layers = new BubblewrapLayers(this.#layersDir, {
      prepare: async () => (await this.#prepare()).host,
      start: (spec, system) => this.#start(spec, system),
      commandMsMax: options.layerCommandMsMax,
      onProblem: (problem) => this.#options.onProblem?.(problem instanceof Error ? problem : new Error(String(problem))),
    });
  }

  async capabilities(): Promise<SandboxCapabilities> {
    const { powers } = openCgroupHost(CGROUP_ROOT, readOwnGroups());
    return {
      isolation: "namespaces",
      pause: true,
      enforces: [
        ...(powers.has("memory") ? (["memoryBytesMax"] as const) : []),
        "processesMax",
        "diskBytesMax",
        "openFilesMax",
        ...(powers.has("cpu") ? (["cpuCoresMax"] as const) : []),
      ],
    };
  }

  async check(): Promise<Finding[]> {
    const findings = await checkHost(this.#options.bwrapPath);
    if (findings.some(({ ok }) => !ok)) return findings;
    return [...findings, await this.#checkStart(), this.#checkLimits()];
  }

  async create(spec: SandboxSpec): Promise<Sandbox> {
    const { equipment } = spec;
    if (equipment === undefined) return this.#start(spec, PLAIN_SYSTEM);
    return this.layers.using(equipment, (system) => this.#start(spec, system));
  }

  async #start(spec: SandboxSpec, system: SystemPlan): Promise<Sandbox> {
    const { host, cgroups, diskWatch, spawner } = await this.#prepare();
    spawner.warm();
    const user = await this.#userOf(spec.volume.path);
    if (!spec.volume.path.startsWith(`${this.#options.dir}/`)) {
      throw new SandboxError("unavailable", `the volume ${spec.volume.path} is not in ${this.#options.dir}`);
    }
    openVolumeDirs(spec.volume.path);
    const id = `${this.#instance}.${randomBytes(6).toString("hex")}`;
    const runDir = join(this.#sandboxesDir, id);
    const tempDir = join(runDir, "tmp");
    makeDir(runDir, PASSAGE_MODE);
    makeDir(tempDir, 0o1777);
    if (user !== null) await chown(tempDir, user.uid, user.gid);
    const cgroup = cgroups.create(id, spec.limits);
    const powers = cgroups.powers;
    try {
      const egress = spec.openEgress === null ? null : await openEgressSocket(spec.openEgress, id, runDir, user);
      const parts = { id, spec, system, host, user, cgroup, powers, diskWatch, spawner, egress, runDir, tempDir };
      return this.#whileLiving(createBubblewrapSandbox(parts), spawner);
    } catch (error) {
      await cgroup.remove();
      await removeTree(runDir);
      throw error;
    }
  }

  /** Nothing stays behind a driver that is not in use. */
  #whileLiving(sandbox: Sandbox, spawner: Spawner): Sandbox {
    this.#living++;
    void sandbox.gone.then(() => {
      this.#living--;
      if (this.#living === 0) this.#stopLater(spawner);
    });
    return sandbox;
  }

  #stopLater(spawner: Spawner): void {
    setTimeout(() => {
      if (this.#living === 0) spawner.stop();
    }, SPAWNER_LINGER_MS).unref();
  }

  /** Made at first use and kept; tried again after a failure. */
  #prepare(): Promise<Prepared> {
    this.#prepared ??= this.#makePrepared().catch((error: unknown) => {
      this.#prepared = null;
      throw error;
    });
    return this.#prepared;
  }

  async #makePrepared(): Promise<Prepared> {
    const { bwrapPath } = this.#options;
    const [tools, arch] = [findHostTools(bwrapPath), seccompArch()];
    const problem = (await checkHost(bwrapPath)).find(({ ok }) => !ok);
    if (problem !== undefined || tools === null || arch === null) throw unavailable(problem);
    const { dir, egressCa, programs = [], onProblem = ignoreProblem } = this.#options;
    makeDir(dir, PASSAGE_MODE);
    makeDir(this.#sandboxesDir, PASSAGE_MODE);
    const etcDir = join(dir, "etc");
    const seccompPath = join(dir, `seccomp-${arch}.bpf`);
    const rootSeccompPath = join(dir, `seccomp-root-${arch}.bpf`);
    const cgroups = openCgroupHost(CGROUP_ROOT, readOwnGroups());
    const programsDir = join(dir, "programs");
    const shownPrograms = await Promise.all(programs.map((program) => openProgram(program, programsDir)));
    const [runtime, caBundle] = await Promise.all([
      prepareRuntime(join(dir, "runtime")),
      egressCa === undefined ? null : writeCaBundle(join(dir, "ca-bundle.pem"), egressCa, "/etc"),
      writeEtc(etcDir, "/etc"),
      writeFile(seccompPath, seccompFilter(arch)),
      writeFile(rootSeccompPath, seccompFilter(arch, { pretendsRoot: true })),
      cgroups.sweep(),
      this.#sweepRunDirs(),
    ]);
    const sharedEtc = SHARED_ETC_DIRS.filter((name) => existsSync(join("/etc", name)));
    const hiddenDir = isRoot() && !isReachableForAll(dirname(dir)) ? dir : null;
    const host = {
      tools,
      runtime,
      programs: shownPrograms,
      etcDir,
      seccompPath,
      rootSeccompPath,
      systemDirs: systemDirs(),
      layersDir: this.#layersDir,
      bashAt: realpathSync(BASH_PATH),
      sharedEtc,
      hiddenDir,
      caBundle,
    };
    const spawner = new Spawner();
    return { host, cgroups, diskWatch: new DiskWatch(dir, spawner, isRoot(), onProblem), spawner };
  }

  async #sweepRunDirs(): Promise<void> {
    const dead = (await readdir(this.#sandboxesDir)).filter(belongsToTheDead);
    await Promise.all(dead.map((name) => removeTree(join(this.#sandboxesDir, name))));
  }

  /** As root, a volume of root's would make the sandbox's processes root on the host: refused. */
  async #userOf(volumePath: string): Promise<SandboxUser | null> {
    if (!isRoot()) return null;
    const { uid, gid } = await stat(volumePath);
    if (uid === 0)
      throw new SandboxError("unavailable", `the volume ${volumePath} belongs to root; it needs an owner of its own`);
    return { uid, gid };
  }

  /** Goes out of a sandbox: what the kernel, a container or a security module forbids shows only then. */
  async #checkStart(): Promise<Finding> {
    const name = "a sandbox starts";
    const volumes = await openVolumes(this.#options.dir, await defaultOwners());
    const volume = await volumes.create();
    try {
      const spec = { volume, limits: CHECK_LIMITS, env: {}, openEgress: openNowhere };
      const sandbox = await this.create(spec);
      const child = await sandbox.exec(["/bin/bash", "--norc", "-c", `exec 3<>/dev/tcp/127.0.0.1/${EGRESS_PORT}`]);
      child.stdout.resume();
      const complaint = collectStart(child.stderr);
      const { code } = await child.exited;
      await sandbox.destroy();
      const detail = code === 0 ? "yes" : complaint() || `status ${code}`;
      return finding(name, code === 0, detail, startFix(detail));
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      return finding(name, false, detail, startFix(detail));
    } finally {
      await volumes.remove(volume.id);
    }
  }

  #checkLimits(): Finding {
    const { powers } = openCgroupHost(CGROUP_ROOT, readOwnGroups());
    const missing = (["memory", "processes", "cpu"] as const).filter((power) => !powers.has(power));
    const detail = missing.length === 0 ? "memory, processes, cpu" : `not by control group: ${missing.join(", ")}`;
    // Less is enforced then, and `capabilities` says so; sandboxes start all the same.
    return { name: "limits", ok: true, detail };
  }
}

function unavailable(problem: Finding | undefined): SandboxError {
  const sentence =
    problem === undefined ? "bubblewrap does not run here" : `${problem.name}: ${problem.detail}; ${problem.fix ?? ""}`;
  return new SandboxError("unavailable", sentence);
}

/** A session may have closed its own directories to itself (`chmod 000 /workspace`): without this it could not go on. */
function openVolumeDirs(path: string): void {
  for (const { name } of VOLUME_MOUNTS) {
    const { mode } = statSync(join(path, name));
    if ((mode & OWNER_ALL) !== OWNER_ALL) chmodSync(join(path, name), (mode & 0o777) | OWNER_ALL);
  }
}

const ignoreProblem = (): void => undefined;
