import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { readdir, readFile, rename, stat, utimes } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { promisify } from "node:util";
import { belongsToTheDead, instanceTag } from "../instance.ts";
import { makeDir, PASSAGE_MODE } from "../make-dir.ts";
import { SandboxError, type LayerDraft, type Layers, type Sandbox, type SandboxSpec, type Volume } from "../port.ts";
import { removeTree } from "../remove-tree.ts";
import { openVolumes, spareOwners, type Volumes } from "../volumes.ts";
import { collectStart } from "../collect-start.ts";
import { HELPER_ENV, isRoot, type SandboxUser } from "./host.ts";
import { writeLayerSeed } from "./layer-seed.ts";
import { openNowhere } from "./egress-socket.ts";
import { DRAFT_SYSTEM, DRAFT_WORK, type SystemPlan, VIEWS } from "./system-view.ts";
import type { LaunchHost } from "./launch.ts";

const run = promisify(execFile);
/** Raise it when what is in a layer changes. */
const LAYER_FORMAT = 1;
const NAME = /^[A-Za-z0-9_-]{1,128}$/;
const [KEPT, DRAFTS, SEEDS, VOLUMES] = ["kept", "drafts", "seeds", "volumes"] as const;
/** Change with the system's packages; a layer over other ones would be half of each. */
const SYSTEM_FACTS = ["/var/lib/dpkg/status", "/usr", "/usr/bin", "/usr/lib", "/usr/local/bin", "/usr/local/lib", "/lib", "/bin"];
const OS_RELEASE = "/usr/lib/os-release";
const MARK = "made";
/** Keeps packages from starting services when they are installed. */
const POLICY = "usr/sbin/policy-rc.d";
const SCRIPT_OUTPUT_BYTES_MAX = 1024 * 1024;
const FIX = "overlay mounts need Linux 5.11 or newer and a file system of the data directory that takes user attributes";
const PROBE_LIMITS = {
  memoryBytesMax: 256 * 1024 ** 2,
  processesMax: 32,
  diskBytesMax: 16 * 1024 ** 2,
  openFilesMax: 256,
  cpuCoresMax: 1,
};

/**
 * An upper directory for each directory of the system, with all its directories (so that they belong to the draft's user,
 * who may then replace what is in them) and none of its files. $1: the seed, $2: the draft, then the system's directories.
 */
const BEGIN_SCRIPT = `set -e
cp -a -- "$1/." "$2/${DRAFT_SYSTEM}"
target=$2; shift 2
for dir in "$@"; do
  mkdir -p "$target/${DRAFT_SYSTEM}$dir" "$target/${DRAFT_WORK}$dir"
  (cd "$dir" && find . -xdev -type d -print0 2>/dev/null || true) | (cd "$target/${DRAFT_SYSTEM}$dir" && xargs -0 mkdir -p --)
done
mkdir -p "$target/${DRAFT_SYSTEM}/usr/sbin" "$target/${DRAFT_SYSTEM}/opt/sandbox0"
printf '#!/bin/sh\\nexit 101\\n' >"$target/${DRAFT_SYSTEM}/${POLICY}"
chmod 755 "$target/${DRAFT_SYSTEM}/${POLICY}"
touch "$target/${MARK}"`;

/** The last command in a draft, where its links lead nowhere else: what a layer has no use for. */
const CLEAN_SCRIPT = `rm -f /${POLICY}
rm -rf /var/cache/apt/* /var/lib/apt/lists/* /var/log/* /var/cache/ldconfig/* /opt/harness
rm -rf /var/tmp; ln -s ../tmp /var/tmp`;

/**
 * What the draft's user made becomes the server's, without any set-user-id bit, for everybody to read; of the directories that
 * were made ahead those go that nothing has happened in. Nothing of the sandbox runs any more, and no link is followed.
 * $1: the draft, then the system's directories.
 */
const KEEP_SCRIPT = `set -e
cd "$1/${DRAFT_SYSTEM}"; shift
[ "$(id -u)" != 0 ] || chown -h -R 0:0 .
chmod -R u+rwX,go+rX,go-w,ug-s .
for dir in "$@"; do find ".$dir" -mindepth 1 -depth -type d ! -newer ../${MARK} -print0; done |
  xargs -0 rmdir --ignore-fail-on-non-empty --
rm -rf opt/sandbox0`;

/** Whether this user may mount layers here. $1: a directory to try it in. */
const PROBE_SCRIPT = `set -e
cd "$1"; mkdir upper work view
mount -t overlay -o userxattr,index=off,xino=off,lowerdir=/usr,upperdir=upper,workdir=work overlay view
mkdir view/probe`;

export interface LayersHost {
  /** Made at the driver's first use. */
  prepare(): Promise<LaunchHost>;
  /** Starts a sandbox with this system. */
  start(spec: SandboxSpec, system: SystemPlan): Promise<Sandbox>;
}

/**
 * The layers of a driver: `kept/<name>/` are finished ones, `drafts/` those in the making, `seeds/` what they begin with;
 * in `views/` launchers mount them, each in a mount namespace of its own.
 */
export class BubblewrapLayers implements Layers {
  readonly #dir: string;
  readonly #host: LayersHost;
  readonly #instance = instanceTag();
  #opened: Promise<Volumes> | null = null;

  constructor(dir: string, host: LayersHost) {
    this.#dir = dir;
    this.#host = host;
  }

  async systemKey(): Promise<string> {
    await this.#open();
    return systemKey();
  }

  async find(name: string): Promise<string | null> {
    const path = this.#kept(name);
    const now = new Date();
    return utimes(path, now, now).then(
      () => path,
      (error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return null;
        throw error;
      },
    );
  }

  async list(): Promise<{ name: string; usedAt: Date }[]> {
    const names = await readdir(join(this.#dir, KEPT)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw error;
    });
    return Promise.all(names.map(async (name) => ({ name, usedAt: (await stat(join(this.#dir, KEPT, name))).mtime })));
  }

  async remove(name: string): Promise<void> {
    const gone = this.#newDraft();
    await rename(this.#kept(name), gone).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
    await removeTree(gone);
  }

  async draft(name: string, spec: Omit<SandboxSpec, "volume" | "equipment">): Promise<LayerDraft> {
    const target = this.#kept(name);
    const volumes = await this.#open();
    const dir = this.#newDraft();
    const volume = await volumes.create();
    let sandbox: Sandbox | null = null;
    const discard = async (): Promise<void> => {
      await sandbox?.destroy();
      await removeTree(dir);
      await volumes.remove(volume.id);
    };
    try {
      const host = await this.#host.prepare();
      await this.#begin(dir, host, ownerOf(volume));
      const made = await this.#host.start({ ...spec, volume }, { layers: [], draft: relative(this.#dir, dir) });
      sandbox = made;
      const keep = async (): Promise<string> => {
        try {
          await this.#finish(made, dir, host, volumes);
          await renameNew(join(dir, DRAFT_SYSTEM), target);
        } finally {
          await discard();
        }
        return target;
      };
      return { sandbox, keep, discard };
    } catch (error) {
      await discard();
      throw error;
    }
  }

  async #finish(sandbox: Sandbox, dir: string, host: LaunchHost, volumes: Volumes): Promise<void> {
    // Where the draft has no shell any more, no sandbox starts with it either.
    await runIn(sandbox, CLEAN_SCRIPT);
    await sandbox.destroy();
    await runScript(KEEP_SCRIPT, [dir, ...systemPaths(host)]);
    await this.#check(relative(this.#dir, join(dir, DRAFT_SYSTEM)), volumes);
  }

  async #begin(dir: string, host: LaunchHost, owner: SandboxUser | null): Promise<void> {
    const seed = await this.#seed(host);
    makeDir(dir, PASSAGE_MODE);
    makeDir(join(dir, DRAFT_SYSTEM), 0o755);
    makeDir(join(dir, DRAFT_WORK), 0o755);
    await runScript(BEGIN_SCRIPT, [seed, dir, ...systemPaths(host)]);
    if (owner === null) return;
    const dirs = [DRAFT_SYSTEM, DRAFT_WORK].map((name) => join(dir, name));
    await run("chown", ["-h", "-R", `${owner.uid}:${owner.gid}`, ...dirs], { env: HELPER_ENV });
  }

  /** Made once for a system. */
  async #seed(host: LaunchHost): Promise<string> {
    const seed = join(this.#dir, SEEDS, await systemKey());
    if (statSync(seed, { throwIfNoEntry: false }) !== undefined) return seed;
    const draft = this.#newDraft();
    await writeLayerSeed(draft, host.etcDir);
    await renameNew(draft, seed);
    await removeTree(draft);
    return seed;
  }

  /** Starts with the layer: one that hides what every sandbox needs is found out now. */
  async #check(layer: string, volumes: Volumes): Promise<void> {
    const volume = await volumes.create();
    try {
      const spec = { volume, limits: PROBE_LIMITS, env: {}, openEgress: openNowhere };
      const sandbox = await this.#host.start(spec, { layers: [layer], draft: null });
      const { code, complaint } = await runIn(sandbox, ":").finally(() => sandbox.destroy());
      if (code !== 0) throw new SandboxError("unavailable", `no sandbox starts with it: ${complaint || `status ${code}`}`);
    } finally {
      await volumes.remove(volume.id);
    }
  }

  /** At first use; tried again after a failure. */
  #open(): Promise<Volumes> {
    this.#opened ??= this.#makeOpened().catch((error: unknown) => {
      this.#opened = null;
      throw error;
    });
    return this.#opened;
  }

  async #makeOpened(): Promise<Volumes> {
    const host = await this.#host.prepare();
    for (const name of ["", KEPT, DRAFTS, SEEDS, VIEWS]) makeDir(join(this.#dir, name), PASSAGE_MODE);
    for (const path of [...systemPaths(host), "/etc", "/var"]) makeDir(join(this.#dir, VIEWS, path), 0o755);
    const dead = (await readdir(join(this.#dir, DRAFTS))).filter(belongsToTheDead);
    for (const name of dead) await removeTree(join(this.#dir, DRAFTS, name));
    const volumes = await openVolumes(join(this.#dir, VOLUMES), await spareOwners());
    await volumes.sweep();
    await this.#probe();
    return volumes;
  }

  async #probe(): Promise<void> {
    const dir = this.#newDraft();
    makeDir(dir, PASSAGE_MODE);
    const asUser = isRoot() ? [] : ["--user", "--map-root-user"];
    const namespace = [...asUser, "--mount", "--propagation", "private", "--"];
    try {
      await run("unshare", [...namespace, "/bin/bash", "--norc", "-c", PROBE_SCRIPT, "sandbox0", dir], { env: HELPER_ENV });
    } catch (error) {
      const complaint = (error as { stderr?: string }).stderr?.trim();
      throw new SandboxError("unavailable", `sandboxes here can have no layers over the system: ${complaint}; ${FIX}`);
    } finally {
      await removeTree(dir);
    }
  }

  #newDraft(): string {
    return join(this.#dir, DRAFTS, `${this.#instance}.${randomBytes(6).toString("hex")}`);
  }

  #kept(name: string): string {
    if (!NAME.test(name)) throw new SandboxError("path_refused", `not a name of a layer: ${JSON.stringify(name)}`);
    return join(this.#dir, KEPT, name);
  }
}

/** Whether this is the directory of a finished layer. */
export function isKeptLayer(layersDir: string, path: string): boolean {
  const name = basename(path);
  return NAME.test(name) && path === join(layersDir, KEPT, name) && existsSync(path);
}

/** Directories, and on merged systems no links. */
function systemPaths({ systemDirs }: LaunchHost): string[] {
  return systemDirs.filter(({ link }) => link === null).map(({ path }) => path);
}

function ownerOf({ path }: Volume): SandboxUser | null {
  if (!isRoot()) return null;
  const { uid, gid } = statSync(path);
  return { uid, gid };
}

async function systemKey(): Promise<string> {
  const facts = SYSTEM_FACTS.map((path) => {
    const entry = statSync(path, { throwIfNoEntry: false });
    return entry === undefined ? null : [entry.size, entry.mtimeMs];
  });
  const release = await readFile(OS_RELEASE, "utf8").catch(() => "");
  const all = [LAYER_FORMAT, process.arch, isRoot(), release, facts];
  return createHash("sha256").update(JSON.stringify(all)).digest("hex").slice(0, 16);
}

async function runScript(script: string, args: readonly string[]): Promise<void> {
  await run("/bin/bash", ["--norc", "-c", script, "sandbox0", ...args], { env: HELPER_ENV, maxBuffer: SCRIPT_OUTPUT_BYTES_MAX });
}

async function runIn(sandbox: Sandbox, script: string): Promise<{ code: number | null; complaint: string }> {
  const child = await sandbox.exec(["/bin/bash", "-c", script]);
  child.stdin.end();
  child.stdout.resume();
  const complaint = collectStart(child.stderr);
  const { code } = await child.exited;
  return { code, complaint: complaint() };
}

/** What another process has put there before is as good. */
async function renameNew(from: string, to: string): Promise<void> {
  await rename(from, to).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST" && error.code !== "ENOTEMPTY") throw error;
  });
}
