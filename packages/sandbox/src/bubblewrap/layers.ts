import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, lstatSync, statSync } from "node:fs";
import { readdir, rename, stat, utimes } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { promisify } from "node:util";
import { belongsToTheDead, instanceTag } from "../instance.ts";
import { makeDir, PASSAGE_MODE } from "../make-dir.ts";
import {
  SandboxError,
  type Equipment,
  type ImageSource,
  type LayerDraft,
  type LayerInfo,
  type Layers,
  type Sandbox,
  type SandboxSpec,
  type Volume,
} from "../port.ts";
import { removeTree } from "../remove-tree.ts";
import { openVolumes, spareOwners, type Volumes } from "../volumes.ts";
import { collectStart } from "../collect-start.ts";
import { SYSTEM_CA_PLACES } from "./ca-bundle.ts";
import { checkPlaces } from "./check-places.ts";
import { HELPER_ENV, isRoot, type SandboxUser } from "./host.ts";
import { writeLayerSeed } from "./layer-seed.ts";
import { LayerSizes, treeBytes } from "./layer-sizes.ts";
import { LayerUses } from "./layer-uses.ts";
import { openNowhere } from "./egress-socket.ts";
import type { ImageBase } from "./image/image-base.ts";
import { prepareImagePrograms } from "./image/image-programs.ts";
import { baseOf, factsOf, finishImage, finishLayerOver } from "./image/image-files.ts";
import { prepareImageTools } from "./image/image-tools.ts";
import { IMAGE_BOUNDS, runUnpacker, toolsMount, UNPACK_LIMITS } from "./image/run-unpacker.ts";
import { ROOT_NAME } from "./image/unpack-image.ts";
import { systemKey } from "./system-key.ts";
import {
  DRAFT_SYSTEM,
  DRAFT_WORK,
  OVERLAID_DIRS,
  overlaidDirs,
  PLAIN_SYSTEM,
  realDirs,
  SETTINGS_DIRS,
  SKELETON,
  type SystemPlan,
  VIEWS,
} from "./system-view.ts";
import type { LaunchHost } from "./launch.ts";

const run = promisify(execFile);
const NAME = /^[A-Za-z0-9_-]{1,128}$/;
const [KEPT, DRAFTS, SEEDS, VOLUMES] = ["kept", "drafts", "seeds", "volumes"] as const;
const [USES, SIZES, TOOLS] = ["uses", "sizes", "image-tools"] as const;
/** No sandbox lives so long that began before its machine's system changed. */
const OLD_SEED_MS = 7 * 24 * 60 * 60_000;
const FIX = "overlay mounts need Linux 5.11 or newer and a file system of the data directory that takes user attributes";
const PROBE_LIMITS = {
  memoryBytesMax: 256 * 1024 ** 2,
  processesMax: 32,
  diskBytesMax: 16 * 1024 ** 2,
  openFilesMax: 256,
  cpuCoresMax: 1,
};

/** Of each command with which a draft is cleaned and tried: what sleeps in place of its programs holds up nobody. */
const COMMAND_MS_MAX = 60_000;

/** The last command in a draft, where its links lead nowhere else: what a layer has no use for. */
const CLEAN_SCRIPT = "rm -rf /var/cache/apt/* /var/lib/apt/lists/* /var/log/* /var/cache/ldconfig/* /opt/harness";

/**
 * What a sandbox's user made becomes the server's, without any set-user-id bit, for everybody to read. Nothing of the sandbox
 * runs any more, and no link is followed. $1: the directory.
 */
const OWN_SCRIPT = `set -e
cd "$1"
[ "$(id -u)" != 0 ] || chown -h -R 0:0 .
chmod -R u+rwX,go+rX,go-w,ug-s .`;

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
  /** Default: `COMMAND_MS_MAX`. */
  commandMsMax?: number | undefined;
  /** Told of what goes wrong behind a sandbox that is gone. */
  onProblem(problem: unknown): void;
}

interface Opened {
  volumes: Volumes;
  /** One of those who make layers; `null`: the server's user makes them. */
  owner: SandboxUser | null;
}

/** A draft in which everything is done. */
interface Finished {
  sandbox: Sandbox;
  dir: string;
  volume: Volume;
  over: Below;
}

/** Of all images. */
type ImageTools = Pick<ImageBase, "toolsDir" | "programs">;

/** What a layer lies over. */
type Below = Pick<SystemPlan, "seed" | "base">;

interface CommandEnd {
  code: number | null;
  complaint: string;
}

/**
 * The layers of a driver: `kept/<name>/` are finished ones, `drafts/` those in the making, `seeds/` what they lie over
 * (one for each user that makes layers); in `views/` launchers mount them, each in a mount namespace of its own. `uses/` and
 * `sizes/` say which of them sandboxes run with, and what they take.
 */
export class BubblewrapLayers implements Layers {
  readonly #dir: string;
  readonly #host: LayersHost;
  readonly #instance = instanceTag();
  readonly #uses: LayerUses;
  readonly #sizes: LayerSizes;
  #opened: Promise<Opened> | null = null;
  #tools: Promise<ImageTools> | null = null;

  constructor(dir: string, host: LayersHost) {
    this.#dir = dir;
    this.#host = host;
    this.#uses = new LayerUses(join(dir, USES));
    this.#sizes = new LayerSizes(join(dir, SIZES));
  }

  async systemKey(): Promise<string> {
    await this.#open();
    return systemKey();
  }

  /**
   * Starts a sandbox with the layers of this equipment, which stay until it is gone.
   * @throws SandboxError `unavailable` for what is no layer; what `start` throws
   */
  async using({ layers }: Equipment, start: (system: SystemPlan) => Promise<Sandbox>): Promise<Sandbox> {
    if (layers.length === 0) return start(PLAIN_SYSTEM);
    const { owner } = await this.#open();
    const stranger = layers.find((path) => path !== join(this.#dir, KEPT, basename(path)) || !NAME.test(basename(path)));
    if (stranger !== undefined) throw noLayer(stranger);
    const images = layers.flatMap((path) => baseOf(path) ?? []).map((name) => this.#kept(name));
    // Held before it is looked for: who removes a layer looks in the other order.
    const held = [...layers, ...images].map((path) => this.#uses.hold(basename(path)));
    const give = (): void => {
      for (const each of held) each();
    };
    try {
      const gone = [...layers, ...images].find((path) => !existsSync(path));
      if (gone !== undefined) throw noLayer(gone);
      const [image] = [...images, ...layers].filter((path) => factsOf(path) !== null);
      const over = await this.#below(image === undefined ? null : basename(image), owner);
      const above = layers.filter((path) => path !== image).map((path) => relative(this.#dir, path));
      const sandbox = await start({ layers: above, draft: null, ...over });
      void sandbox.gone
        .then(() => this.#touch(layers))
        .finally(give)
        .catch((error: unknown) => this.#host.onProblem(error));
      return sandbox;
    } catch (error) {
      give();
      throw error;
    }
  }

  /** In use until now, however long ago they were found. */
  async #touch(layers: readonly string[]): Promise<void> {
    for (const path of layers) await this.find(basename(path));
  }

  async find(name: string): Promise<string | null> {
    const path = this.#kept(name);
    const now = new Date();
    if ((await unlessMissing(utimes(path, now, now).then(() => path))) === null) return null;
    const image = baseOf(path);
    // Behind it: of the two it is the one that was used less lately, and goes first.
    if (image === null || (await this.find(image)) !== null) return path;
    // Without what it lies over it is none; another image by that name need not be the same.
    await this.remove(name);
    return null;
  }

  async list(): Promise<LayerInfo[]> {
    const names = (await unlessMissing(readdir(join(this.#dir, KEPT)))) ?? [];
    const used = this.#uses.all();
    const found: LayerInfo[] = [];
    for (const name of names) {
      const path = join(this.#dir, KEPT, name);
      const entry = await unlessMissing(stat(path));
      // Another server has removed it.
      if (entry === null) continue;
      found.push({ name, usedAt: entry.mtime, sizeBytes: await this.#sizes.of(name, path), inUse: used.has(name) });
    }
    return found;
  }

  async remove(name: string): Promise<boolean> {
    const path = this.#kept(name);
    if (this.#uses.all().has(name) && existsSync(path)) return false;
    const gone = this.#newDraft();
    // Out of the way, and asked again: a sandbox that starts now finds none.
    if ((await unlessMissing(rename(path, gone).then(() => true))) === null) return true;
    const isUsed = this.#uses.all().has(name);
    if (isUsed) await renameNew(gone, path);
    else await this.#sizes.forget(name);
    await removeTree(gone);
    return !isUsed;
  }

  async draft(name: string, spec: Omit<SandboxSpec, "volume" | "equipment">, image: string | null = null): Promise<LayerDraft> {
    const target = this.#kept(name);
    const { volumes } = await this.#open();
    const dir = this.#newDraft();
    const volume = await volumes.create();
    let give: (() => void) | null = image === null ? null : this.#uses.hold(image);
    let sandbox: Sandbox | null = null;
    const discard = async (): Promise<void> => {
      await sandbox?.destroy();
      await removeTree(dir);
      await volumes.remove(volume.id);
      give?.();
      give = null;
    };
    try {
      const over = await this.#begin(dir, ownerOf(volume), image);
      sandbox = await this.#host.start({ ...spec, volume }, { layers: [], draft: relative(this.#dir, dir), ...over });
      const made = sandbox;
      const keep: LayerDraft["keep"] = async (signal, admit) => {
        try {
          await this.#finish({ sandbox: made, dir, volume, over }, signal);
          await this.#keep(join(dir, DRAFT_SYSTEM), name, admit);
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

  async unpackImage(name: string, { archive, signal, onProgress, admit }: ImageSource): Promise<string> {
    const target = this.#kept(name);
    const { volumes } = await this.#open();
    const tools = await this.#imageTools();
    const dir = this.#newDraft();
    const volume = await volumes.create();
    let sandbox: Sandbox | null = null;
    try {
      const equipment = { mounts: [toolsMount(tools.toolsDir)], layers: [] };
      const spec = { volume, equipment, limits: UNPACK_LIMITS, env: {}, openEgress: null };
      sandbox = await this.#host.start(spec, PLAIN_SYSTEM);
      const facts = await runUnpacker(sandbox, { archive, bounds: IMAGE_BOUNDS, signal, onProgress });
      await sandbox.destroy();
      makeDir(dir, PASSAGE_MODE);
      const root = join(dir, ROOT_NAME);
      await rename(join(volume.path, "workspace", ROOT_NAME), root);
      if (!lstatSync(root).isDirectory()) throw new SandboxError("io", "the image was unpacked to no directory");
      await own(root);
      finishImage(dir, facts);
      const base = { root: relative(this.#dir, root), ...tools, ...facts };
      await this.#check({ layers: [], draft: null, seed: null, base }, volume, signal);
      await this.#keep(dir, name, admit);
      return target;
    } finally {
      await sandbox?.destroy();
      await removeTree(dir);
      await volumes.remove(volume.id);
    }
  }

  async #keep(dir: string, name: string, admit: ImageSource["admit"]): Promise<void> {
    const sizeBytes = await treeBytes(dir);
    await admit?.(sizeBytes);
    await this.#sizes.set(name, sizeBytes);
    await renameNew(dir, this.#kept(name));
  }

  /** @param image `null`: the host's system, with what any user's seed has of it */
  async #below(image: string | null, owner: SandboxUser | null): Promise<Below> {
    if (image === null) return { seed: await this.#seedFor(owner), base: null };
    const facts = factsOf(this.#kept(image));
    if (facts === null) throw noLayer(image);
    return { seed: null, base: { root: join(KEPT, image, ROOT_NAME), ...(await this.#imageTools()), ...facts } };
  }

  /** At first use; tried again after a failure. */
  #imageTools(): Promise<ImageTools> {
    this.#tools ??= this.#makeImageTools().catch((error: unknown) => {
      this.#tools = null;
      throw error;
    });
    return this.#tools;
  }

  async #makeImageTools(): Promise<ImageTools> {
    const { runtime, tools, bashAt, programs } = await this.#host.prepare();
    const parent = join(this.#dir, TOOLS);
    const toolsDir = await prepareImageTools(parent, { runtimeDir: runtime.dir, socat: tools.socat, bash: bashAt });
    return { toolsDir, programs: await prepareImagePrograms(parent, programs) };
  }

  /** @returns what the draft lies over */
  async #begin(dir: string, owner: SandboxUser | null, image: string | null): Promise<Below> {
    const host = await this.#host.prepare();
    const over = await this.#below(image, owner);
    makeDir(dir, PASSAGE_MODE);
    const root = over.base === null ? null : join(this.#dir, over.base.root);
    const dirs = root === null ? [...realDirs(host.systemDirs), ...SETTINGS_DIRS, "/opt"] : overlaidDirs(root);
    for (const name of [DRAFT_SYSTEM, DRAFT_WORK]) {
      for (const path of ["", ...dirs]) makeDir(join(dir, name, path), 0o755);
    }
    const system = join(dir, DRAFT_SYSTEM);
    if (root === null) makeDir(join(system, "opt/sandbox0"), 0o755);
    // Packages change files in there, which only their owner may.
    else await run("cp", ["-a", "--", ...SETTINGS_DIRS.map((name) => join(root, name)), system], { env: HELPER_ENV });
    if (owner !== null) await run("chown", ["-h", "-R", `${owner.uid}:${owner.gid}`, dir], { env: HELPER_ENV });
    return over;
  }

  async #finish({ sandbox, dir, volume, over }: Finished, signal: AbortSignal | undefined): Promise<void> {
    // Where the draft has no shell any more, no sandbox starts with it either.
    await this.#runIn(sandbox, CLEAN_SCRIPT, signal);
    await sandbox.destroy();
    const system = join(dir, DRAFT_SYSTEM);
    await own(system);
    if (over.base === null) {
      await removeTree(join(system, "opt/sandbox0"));
      const { bashAt } = await this.#host.prepare();
      checkPlaces(system, [bashAt, ...SYSTEM_CA_PLACES]);
    } else finishLayerOver(over.base, system);
    await this.#check({ layers: [relative(this.#dir, system)], draft: null, ...over }, volume, signal);
  }

  /** Made once for a system and a user. @returns its path below the directory of layers */
  async #seedFor(owner: SandboxUser | null): Promise<string> {
    const seed = join(SEEDS, `${await systemKey()}.${owner?.uid ?? "own"}`);
    if (existsSync(join(this.#dir, seed))) return seed;
    const { etcDir } = await this.#host.prepare();
    const draft = this.#newDraft();
    try {
      await writeLayerSeed(draft, { etcDir, owner });
      await renameNew(draft, join(this.#dir, seed));
    } finally {
      await removeTree(draft);
    }
    return seed;
  }

  /** Of systems that are no more. */
  async #removeOldSeeds(): Promise<void> {
    const key = await systemKey();
    for (const name of await readdir(join(this.#dir, SEEDS))) {
      const path = join(this.#dir, SEEDS, name);
      const ageMs = Date.now() - (await stat(path)).mtimeMs;
      if (!name.startsWith(`${key}.`) && ageMs > OLD_SEED_MS) await removeTree(path);
    }
  }

  /** Starts with the layer: one that hides what every sandbox needs is found out now. */
  async #check(system: SystemPlan, volume: Volume, signal: AbortSignal | undefined): Promise<void> {
    const sandbox = await this.#host.start({ volume, limits: PROBE_LIMITS, env: {}, openEgress: openNowhere }, system);
    try {
      const { code, complaint } = await this.#runIn(sandbox, ":", signal);
      if (code !== 0) throw new SandboxError("unavailable", `no sandbox starts with it: ${complaint || `status ${code}`}`);
    } finally {
      await sandbox.destroy();
    }
  }

  /** @throws SandboxError `unavailable` for one that does not end; the signal's reason */
  async #runIn(sandbox: Sandbox, script: string, signal: AbortSignal | undefined): Promise<CommandEnd> {
    const { commandMsMax = COMMAND_MS_MAX } = this.#host;
    const time = AbortSignal.timeout(commandMsMax);
    const either = signal === undefined ? time : AbortSignal.any([signal, time]);
    const child = await sandbox.exec(["/bin/bash", "--norc", "-c", script], { signal: either });
    child.stdin.end();
    child.stdout.resume();
    const complaint = collectStart(child.stderr);
    const { code } = await child.exited;
    signal?.throwIfAborted();
    if (time.aborted) throw new SandboxError("unavailable", `a command did not end in it within ${commandMsMax / 1000} seconds`);
    return { code, complaint: complaint() };
  }

  /** At first use; tried again after a failure. */
  #open(): Promise<Opened> {
    this.#opened ??= this.#makeOpened().catch((error: unknown) => {
      this.#opened = null;
      throw error;
    });
    return this.#opened;
  }

  async #makeOpened(): Promise<Opened> {
    const host = await this.#host.prepare();
    for (const name of ["", KEPT, DRAFTS, SEEDS, USES, VIEWS]) makeDir(join(this.#dir, name), PASSAGE_MODE);
    for (const path of [...realDirs(host.systemDirs), ...OVERLAID_DIRS, SKELETON]) makeDir(join(this.#dir, VIEWS, path), 0o755);
    const dead = (await readdir(join(this.#dir, DRAFTS))).filter(belongsToTheDead);
    for (const name of dead) await removeTree(join(this.#dir, DRAFTS, name));
    const owners = await spareOwners();
    const volumes = await openVolumes(join(this.#dir, VOLUMES), owners);
    await volumes.sweep();
    await this.#probe();
    await this.#removeOldSeeds();
    return { volumes, owner: owners === null ? null : { uid: owners.first, gid: owners.first } };
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

function ownerOf({ path }: Volume): SandboxUser | null {
  if (!isRoot()) return null;
  const { uid, gid } = statSync(path);
  return { uid, gid };
}

async function own(dir: string): Promise<void> {
  await run("/bin/bash", ["--norc", "-c", OWN_SCRIPT, "sandbox0", dir], { env: HELPER_ENV });
}

function noLayer(path: string): SandboxError {
  return new SandboxError("unavailable", `there is no layer ${path}`);
}

async function unlessMissing<T>(work: Promise<T>): Promise<T | null> {
  return work.catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
}

/** What another process has put there before is as good. */
async function renameNew(from: string, to: string): Promise<void> {
  await rename(from, to).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST" && error.code !== "ENOTEMPTY") throw error;
  });
}
