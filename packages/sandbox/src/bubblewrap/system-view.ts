import { lstatSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { HARNESS_PROGRAMS_DIR, RUNTIME_DIR } from "../layout.ts";
import type { SandboxUser, SystemDir } from "./host.ts";
import type { ImageBase } from "./image/image-base.ts";

/** What a sandbox's system is made of: the host's, or an image, with layers over it. Paths are below the host's `layersDir`. */
export interface SystemPlan {
  /** The first on top. */
  layers: readonly string[];
  /** The layer that this sandbox makes: what it changes goes to `system/` in there. `null`: it changes nothing. */
  draft: string | null;
  /** What layers lie over in `/etc` and `/var`; `null` where there is no layer, and with an image. */
  seed: string | null;
  /** In place of the host's system. */
  base: ImageBase | null;
}

export const PLAIN_SYSTEM: SystemPlan = { layers: [], draft: null, seed: null, base: null };

/** Several directories as one, mounted by the launcher in its own mount namespace; paths are below `layersDir`. */
export interface OverlayMount {
  options: string;
  at: string;
}

export type Bind = (hostPath: string, at: string, writable: boolean) => string[];

interface SystemHost {
  systemDirs: readonly SystemDir[];
  etcDir: string;
  sharedEtc: readonly string[];
  layersDir: string;
}

/** In `VIEWS`, for a draft: directories like the system's, which its user owns. */
export const SKELETON = "skeleton";
/** Of seeds and layers, besides the system's own. */
export const SETTINGS_DIRS: readonly string[] = ["/etc", "/var"];
export const DRAFT_SYSTEM = "system";
/** The overlay file system's own. */
export const DRAFT_WORK = "work";
/** Where overlays are mounted. */
export const VIEWS = "views";
/** In drafts: makes files of packages the draft's own, which apt is about to replace. */
export const OWN_FILES_PATH = "/usr/sbin/sandbox0-own-files";
const SKELETON_BYTES_MAX = 64 * 1024 * 1024;
/**
 * Runs before the launcher of a draft, in the same namespace: all directories of the system that its user may look into, with
 * programs of a draft's own. Who owns a directory may replace what is in it, also where the files are root's; one in place of a
 * closed directory would open it. In memory, because a disk takes seconds for so many. $1: where, $2: options of the mount, $3:
 * the root of the system, $4 and $5: `policy-rc.d` and `OWN_FILES_PATH`, $6: how many words go before each command that is the user's, those words, how
 * many directories, those, and what comes next.
 */
const SKELETON_SCRIPT = `
set -e -o pipefail
mount -t tmpfs -o "$2" tmpfs "$1" && cd -- "$1"
root=$3; programs=("$4" "$5"); shift 5
as=("\${@:2:$1}"); shift $((1 + $1))
dirs=("\${@:2:$1}"); shift $((1 + $1))
for dir in "\${dirs[@]}"; do
  "\${as[@]}" mkdir ".$dir"
  { (cd -- "$root" && "\${as[@]}" find ".$dir" -xdev -mindepth 1 -type d -readable -executable -printf '%p\\0' 2>/dev/null) || true; } |
    "\${as[@]}" xargs -0 -r mkdir --
done
# A link to another directory is left to the system.
if [[ -d ./usr/sbin ]]; then
  printf '%s' "\${programs[0]}" >./usr/sbin/policy-rc.d
  printf '%s' "\${programs[1]}" >.${OWN_FILES_PATH}
  chmod 755 ./usr/sbin/policy-rc.d .${OWN_FILES_PATH}
fi
cd /
exec "$@"`;
/** Keeps packages from starting services. */
const POLICY_PROGRAM = "#!/bin/sh\nexit 101\n";
/**
 * Before dpkg replaces a file it makes a link to it, and the kernel lets only its owner do that: the files of the packages that
 * are about to be replaced are copied and so become the draft's own. apt gives their archives on standard input.
 */
const OWN_FILES_PROGRAM = `#!/bin/bash
while read -r archive; do
  read -r name arch < <(dpkg-deb -W --showformat='\${Package} \${Architecture}\\n' "$archive")
  dpkg-query -L "$name:$arch" 2>/dev/null || dpkg-query -L "$name" 2>/dev/null
done | while read -r path; do
  if [[ -f $path && ! -L $path && ! -O $path ]]; then cp -p -- "$path" "$path.own" && mv -f -- "$path.own" "$path"; fi
done
exit 0
`;

/** What is in `/opt` of every sandbox. */
const OWN_OPT_NAMES = [RUNTIME_DIR, HARNESS_PROGRAMS_DIR].map((path) => path.split("/")[2]);
/** So that programs anywhere find what npm has installed for all. */
const MODULES_LINK = ["--symlink", "usr/local/lib/node_modules", "/node_modules"];
const RUN_BYTES_MAX = 64 * 1024 * 1024;
/** Of drafts: services of a system that is being set up keep their sockets in `/run`, which is no part of it. */
const RUN_ARGS = ["--size", String(RUN_BYTES_MAX), "--tmpfs", "/run", "--dir", "/run/lock"];
/** Of images, where they are no links. */
export const OVERLAID_DIRS: readonly string[] = [
  ...["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"],
  ...["/opt", ...SETTINGS_DIRS],
];
/** At the root of every sandbox, whatever an image has there. */
const OWN_ROOT_NAMES: readonly string[] = [
  ...["boot", "dev", "home", "media", "mnt", "proc", "run", "sys", "tmp", "uploads", "workspace"],
  ...[".dockerenv", "lost+found"],
];

/**
 * The system's directories as arguments of bwrap, and what must be mounted before it starts. Layers come from sandboxes: the
 * launcher, which is the server's user, must run nothing of theirs, so they are never mounted over the host's own paths.
 */
export function systemView(host: SystemHost, plan: SystemPlan, bind: Bind): { overlays: OverlayMount[]; args: string[] } {
  const links = host.systemDirs.flatMap(({ path, link }) => (link === null ? [] : ["--symlink", link, path]));
  const dirs = realDirs(host.systemDirs);
  if (plan.base !== null) return imageView(host, plan, plan.base, bind);
  if (plan.seed === null) return { overlays: [], args: [...plainArgs(host, dirs, bind), ...links] };
  const { draft } = plan;
  const places = [...dirs, ...SETTINGS_DIRS];
  const overlays = places.map((path) => overlayOf(path, plan, dirs.includes(path)));
  const shown = overlays.flatMap(({ at }, index) => bind(join(host.layersDir, at), places[index] ?? "", draft !== null));
  const rest =
    draft === null ? [...optArgs(host, plan.layers, bind), ...MODULES_LINK] : draftArgs(join(host.layersDir, draft), bind);
  return { overlays, args: [...shown, ...links, ...rest] };
}

export interface SkeletonSource {
  /** Of the system. */
  root: string;
  /** From there on. */
  dirs: readonly string[];
}

/** Goes before the launcher of a draft. @param asUser words that run a command as the draft's user */
export function skeletonArgs(
  at: string,
  user: SandboxUser | null,
  asUser: readonly string[],
  { root, dirs }: SkeletonSource,
): string[] {
  const owner = user === null ? "" : `,uid=${user.uid},gid=${user.gid}`;
  const options = `size=${SKELETON_BYTES_MAX},mode=755,nosuid,nodev${owner}`;
  const programs = [POLICY_PROGRAM, OWN_FILES_PROGRAM];
  const args = [at, options, root, ...programs, String(asUser.length), ...asUser, String(dirs.length), ...dirs];
  return ["/bin/bash", "--norc", "-c", SKELETON_SCRIPT, "sandbox0", ...args];
}

/** Paths of those that are no links. */
export function realDirs(systemDirs: readonly SystemDir[]): string[] {
  return systemDirs.filter(({ link }) => link === null).map(({ path }) => path);
}

function plainArgs(host: SystemHost, dirs: readonly string[], bind: Bind): string[] {
  return [
    ...dirs.flatMap((path) => ["--ro-bind", path, path]),
    ...bind(host.etcDir, "/etc", false),
    ...host.sharedEtc.flatMap((name) => ["--ro-bind", `/etc/${name}`, `/etc/${name}`]),
    ...["--symlink", "../tmp", "/var/tmp", "--dir", "/run"],
  ];
}

/**
 * Everything that is the image's at its root, but what every sandbox has of its own there. Each of the directories that layers
 * change is a mount of its own, as the host's are; the others are seen as they are.
 */
function imageView(
  host: SystemHost,
  plan: SystemPlan,
  base: ImageBase,
  bind: Bind,
): { overlays: OverlayMount[]; args: string[] } {
  const isDraft = plan.draft !== null;
  const root = join(host.layersDir, base.root);
  const names = readdirSync(root).filter((name) => !OWN_ROOT_NAMES.includes(name));
  const overlaid = overlaidDirs(root);
  // One directory alone is no overlay.
  const isAlone = !isDraft && plan.layers.length === 0;
  const overlays = isAlone ? [] : overlaid.map((path) => overlayOf(path, plan, !SETTINGS_DIRS.includes(path)));
  const shown = overlaid.flatMap((path) => bind(isAlone ? join(root, path) : join(host.layersDir, VIEWS, path), path, isDraft));
  const others = names.filter((name) => !overlaid.includes(`/${name}`));
  const rest = others.flatMap((name) => entryArgs(join(root, name), `/${name}`, bind));
  const modules = isAlone || isDraft || others.includes("node_modules") ? [] : MODULES_LINK;
  const run = isDraft ? RUN_ARGS : ["--dir", "/run", "--tmpfs", HARNESS_PROGRAMS_DIR];
  return { overlays, args: [...shown, ...rest, ...modules, ...run] };
}

/** @param root of an image @returns the directories there that layers may change: real ones, no links */
export function overlaidDirs(root: string): string[] {
  const isDirectory = (path: string): boolean => lstatSync(join(root, path), { throwIfNoEntry: false })?.isDirectory() === true;
  return OVERLAID_DIRS.filter(isDirectory);
}

/** What is the system's own is the lowest; a draft has directories before it that its user may change. */
function overlayOf(path: string, { layers, draft, seed, base }: SystemPlan, isSystem: boolean): OverlayMount {
  const skeleton = isSystem && draft !== null ? [`${VIEWS}/${SKELETON}${path}`] : [];
  const own = base === null ? (isSystem ? path : `${seed}${path}`) : `${base.root}${path}`;
  const below = [...skeleton, own];
  const lower = [...layers.map((layer) => `${layer}${path}`), ...below].join(":");
  // Attributes of users, so that it is the same for root and for users, and follows no redirections.
  const options = `nosuid,nodev,userxattr,index=off,xino=off,lowerdir=${lower}`;
  const upper = `upperdir=${draft}/${DRAFT_SYSTEM}${path},workdir=${draft}/${DRAFT_WORK}${path}`;
  return { options: draft === null ? `ro,${options}` : `${options},${upper}`, at: `${VIEWS}${path}` };
}

function optArgs(host: SystemHost, layers: readonly string[], bind: Bind): string[] {
  const places = new Map<string, string>();
  for (const dir of layers.map((layer) => join(host.layersDir, layer, "opt"))) {
    for (const name of readdirSync(dir)) if (!places.has(name)) places.set(name, join(dir, name));
  }
  for (const name of OWN_OPT_NAMES) places.delete(name ?? "");
  return ["--dir", "/run", ...[...places].flatMap(([name, path]) => entryArgs(path, `/opt/${name}`, bind))];
}

/**
 * bwrap follows links in what it binds, on the host: a link must lead where it says in the sandbox instead. Asked of the very
 * path that bwrap is given: a name that is no text is listed as another one, which may be there as well.
 */
function entryArgs(path: string, at: string, bind: Bind): string[] {
  const entry = lstatSync(path, { throwIfNoEntry: false });
  if (entry?.isSymbolicLink()) return ["--symlink", readlinkSync(path), at];
  return entry?.isDirectory() || entry?.isFile() ? bind(path, at, false) : [];
}

function draftArgs(dir: string, bind: Bind): string[] {
  return [...bind(join(dir, DRAFT_SYSTEM, "opt"), "/opt", true), ...RUN_ARGS];
}
