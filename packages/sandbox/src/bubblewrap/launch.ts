import { join } from "node:path";
import type { SandboxLimits, SandboxMount } from "../port.ts";
import {
  CA_BUNDLE_PATH,
  EGRESS_PORT,
  EGRESS_SOCKET_PATH,
  HARNESS_PROGRAMS_DIR,
  RUNTIME_DIR,
  TEMP_DIR,
  UPLOADS_DIR,
  UPLOADS_LINK,
  VOLUME_MOUNTS,
} from "../layout.ts";
import type { SandboxProgram } from "../programs.ts";
import type { Runtime } from "../runtime.ts";
import type { CaBundle } from "./ca-bundle.ts";
import { IMAGE_BASH, IMAGE_SOCAT } from "./image/image-base.ts";
import { INNER_GID, INNER_HOSTNAME, INNER_UID } from "./etc-files.ts";
import { HELPER_ENV, type HostTools, type SandboxUser, type SystemDir } from "./host.ts";
import type { SpawnRequest } from "./spawner.ts";
import {
  type Bind,
  type OverlayMount,
  overlaidDirs,
  realDirs,
  SETTINGS_DIRS,
  SKELETON,
  skeletonArgs,
  type SystemPlan,
  systemView,
  VIEWS,
} from "./system-view.ts";

/** /dev/shm is memory; with a memory group it counts there as well. */
const SHM_BYTES_MAX = 64 * 1024 * 1024;
/** Where only single processes can be held to a limit: Node does not start with less, most of which it never touches. */
const PROCESS_DATA_BYTES_MIN = 1024 ** 3;
/** Unit of `ulimit -f` in bash. */
const ULIMIT_BLOCK_BYTES = 1024;
/** The kernel prefers a sandbox to the server when the whole machine runs out of memory. */
const OOM_SCORE_ADJUST = 500;
/** Of the launcher and bwrap, after their stdio. */
const SECCOMP_FD = 3;
/** Exit status of the launcher when it could not set things up. */
const LAUNCH_FAILED = 125;

/**
 * Runs before bwrap, as the server's user: shows the driver's directory at a place that everybody can reach, mounts the
 * layers, enters the control groups, so that not one process of the sandbox is ever outside them, sets the limits that are
 * inherited, and closes what the server itself has inherited from its parent. What it mounts is in a namespace of its own,
 * and gone with it. A limit that cannot be raised is lower already.
 */
const LAUNCH_SCRIPT = `
[[ -z $1 ]] || mount --rbind -- "$1" "$2" || exit ${LAUNCH_FAILED}
overlays=$4
[[ $overlays -eq 0 ]] || cd -- "$3" || exit ${LAUNCH_FAILED}
shift 4
while [[ $overlays -gt 0 ]]; do
  mount -t overlay -o "$1" overlay "$2" || exit ${LAUNCH_FAILED}
  shift 2; overlays=$((overlays - 1))
done
cd /
groups=$1; shift
while [[ $groups -gt 0 ]]; do
  echo 0 >"$1" || exit ${LAUNCH_FAILED}
  shift; groups=$((groups - 1))
done
{ echo ${OOM_SCORE_ADJUST} >/proc/self/oom_score_adj; ulimit -c 0; ulimit -n "$1"; ulimit -f "$2"; } 2>/dev/null
for fd in /proc/self/fd/*; do
  fd=\${fd##*/}
  if [[ $fd -gt ${SECCOMP_FD} ]]; then eval "exec $fd>&-"; fi
done
shift 2
exec "$@"`;

/** Runs inside, where there is no control group: limits of the sandbox's own user, and of each single process. */
const INNER_LIMITS_SCRIPT = 'ulimit -u "$1" && ulimit -d "$2" && shift 2';

/** Connections of one command that are open at the same time; more wait. Each is a small process. */
const FORWARDED_CONNECTIONS_MAX = 200;
const FORWARDER_BUFFER_BYTES = 64 * 1024;
/** How long the answer may take after a client has said that it sends no more. */
const HALF_CLOSED_S = 3600;
/** In the command's pid namespace: after bwrap's reaper, what becomes the command, and a shell that is gone. */
export const FORWARDER_PID = 4;

/**
 * Runs inside: raw bytes from a port of the loopback to the gateway's socket, so that programs that know proxies by host
 * and port get there. It is the reaper's child, not the command's, and says when it listens (`-d -d`): the command starts
 * then. Nobody reads what it says later. Without it there is no way out, which is what is left when it cannot start.
 */
const FORWARD_SCRIPT = `read -r < <(trap '' PIPE; "$1" -d -d -t ${HALF_CLOSED_S} -b ${FORWARDER_BUFFER_BYTES} \\
  TCP4-LISTEN:${EGRESS_PORT},bind=127.0.0.1,fork,nodelay,backlog=${FORWARDED_CONNECTIONS_MAX},max-children=${FORWARDED_CONNECTIONS_MAX} \\
  UNIX-CONNECT:${EGRESS_SOCKET_PATH} </dev/null 2>&1 >/dev/null &); shift`;

/** What stays the same for all sandboxes of a driver. */
export interface LaunchHost {
  tools: HostTools;
  runtime: Runtime;
  /** In directories that sandboxes' users can read. */
  programs: readonly SandboxProgram[];
  etcDir: string;
  seccompPath: string;
  /** For sandboxes that make layers. */
  rootSeccompPath: string;
  systemDirs: readonly SystemDir[];
  /** Holds all layers; its path is below the driver's directory. */
  layersDir: string;
  /** Where the host's bash is, all links followed; the runtime's is shown in its place. */
  bashAt: string;
  /** Host directories of `SHARED_ETC_DIRS` that exist. */
  sharedEtc: readonly string[];
  /** The driver's directory, when the users that sandboxes run as cannot walk to it (`/root` is closed, say). */
  hiddenDir: string | null;
  /** For sandboxes with a way out. */
  caBundle: CaBundle | null;
}

export interface LaunchPlan {
  command: readonly string[];
  cwd: string;
  env: Readonly<Record<string, string>>;
  volumePath: string;
  system: SystemPlan;
  /** Behind the volume's own, so that they may lie in its directories. */
  mounts: readonly SandboxMount[];
  tempDir: string;
  egressSocketPath: string | null;
  limits: SandboxLimits;
  /** The owner of the volume; `null`: the server's own user, which is not root. */
  user: SandboxUser | null;
  procsFiles: readonly string[];
  /** No control group counts processes and memory: use resource limits. */
  needsInnerLimits: boolean;
}

/** Where a hidden directory is shown: in a mount namespace of the launcher's own, so nobody else sees it there. */
const SHOWN_AT = "/mnt";

/** What to start for a command in namespaces of its own; it dies with who starts it. */
export function launchRequest(host: LaunchHost, plan: LaunchPlan): SpawnRequest {
  const view = systemView(host, plan.system, binding(host));
  const isDraft = plan.system.draft !== null;
  const options = [...namespaceArgs(isDraft), "--seccomp", String(SECCOMP_FD), ...mountArgs(host, plan, view.args)];
  const bwrap = [host.tools.bwrap, ...options, ...envArgs(plan), "--", ...innerCommand(host, plan)];
  const shown = host.hiddenDir === null ? ["", ""] : [host.hiddenDir, SHOWN_AT];
  const mounts = [...shown, ...overlayArgs(host, view.overlays)];
  const args = [...mounts, ...limitArgs(plan), ...userArgs(host, plan), ...bwrap];
  const launcher = ["/bin/bash", "--norc", "-c", LAUNCH_SCRIPT, "sandbox0", ...args];
  const skeleton = isDraft ? draftSkeleton(host, plan) : [];
  const [file = "", ...rest] = [...mountNamespace(host, plan, view.overlays), ...skeleton, ...launcher];
  return { file, args: rest, env: HELPER_ENV, cwd: "/", files: [isDraft ? host.rootSeccompPath : host.seccompPath] };
}

/** Of the launcher, where it has something to mount; a user may do it as root of a user namespace. */
function mountNamespace(host: LaunchHost, plan: LaunchPlan, overlays: readonly OverlayMount[]): string[] {
  if (host.hiddenDir === null && overlays.length === 0) return [];
  const user = plan.user === null ? ["--user", "--map-root-user"] : [];
  return ["unshare", ...user, "--mount", "--propagation", "private", "--"];
}

function draftSkeleton(host: LaunchHost, plan: LaunchPlan): string[] {
  const { base } = plan.system;
  const root = base === null ? "/" : join(host.layersDir, base.root);
  const dirs = base === null ? realDirs(host.systemDirs) : overlaidDirs(root).filter((path) => !SETTINGS_DIRS.includes(path));
  return skeletonArgs(join(host.layersDir, VIEWS, SKELETON), plan.user, userArgs(host, plan), { root, dirs });
}

function overlayArgs(host: LaunchHost, overlays: readonly OverlayMount[]): string[] {
  return [shownPath(host, host.layersDir), String(overlays.length), ...overlays.flatMap(({ options, at }) => [options, at])];
}

function limitArgs(plan: LaunchPlan): string[] {
  const blocks = Math.max(1, Math.floor(plan.limits.diskBytesMax / ULIMIT_BLOCK_BYTES));
  return [String(plan.procsFiles.length), ...plan.procsFiles, String(plan.limits.openFilesMax), String(blocks)];
}

function userArgs(host: LaunchHost, plan: LaunchPlan): string[] {
  if (plan.user === null) return [];
  if (host.tools.setpriv === null) throw new Error("setpriv is missing");
  return [host.tools.setpriv, `--reuid=${plan.user.uid}`, `--regid=${plan.user.gid}`, "--clear-groups", "--"];
}

/** Who makes a layer is root in there, without a capability. */
function namespaceArgs(isDraft: boolean): string[] {
  const [uid, gid] = isDraft ? [0, 0] : [INNER_UID, INNER_GID];
  return [
    ...["--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"],
    ...["--disable-userns", "--die-with-parent", "--new-session", "--cap-drop", "ALL"],
    ...["--uid", String(uid), "--gid", String(gid), "--hostname", INNER_HOSTNAME],
  ];
}

const binding =
  (host: LaunchHost): Bind =>
  (path, at, writable) => [writable ? "--bind" : "--ro-bind", shownPath(host, path), at];

function mountArgs(host: LaunchHost, plan: LaunchPlan, systemArgs: readonly string[]): string[] {
  const bind = binding(host);
  const { base, draft } = plan.system;
  const isDraft = draft !== null;
  return [
    ...systemArgs,
    ...bind(base?.toolsDir ?? host.runtime.dir, RUNTIME_DIR, false),
    // What lies over files of the system would keep packages from replacing them. An image has a link to it.
    ...(isDraft || base !== null ? [] : bind(host.runtime.bashPath, host.bashAt, false)),
    ...(isDraft
      ? []
      : (base?.programs ?? host.programs).flatMap(({ directory, mountedAt }) => bind(directory, mountedAt, false))),
    // The sandbox's own user could write settings of its own namespaces, and kernels give those more with time.
    ...["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"],
    ...["--dev", "/dev", "--size", String(SHM_BYTES_MAX), "--tmpfs", "/dev/shm"],
    ...bind(plan.tempDir, TEMP_DIR, true),
    ...VOLUME_MOUNTS.flatMap(({ name, at, writable }) => bind(join(plan.volumePath, name), at, writable)),
    ...(isDraft ? [] : ["--symlink", UPLOADS_DIR, UPLOADS_LINK]),
    ...plan.mounts.flatMap(({ source, at, writable }) => bind(source, at, writable)),
    ...(plan.egressSocketPath === null ? [] : egressMounts(host, plan.egressSocketPath, plan.system)),
    ...(isDraft || base === null ? [] : ["--remount-ro", HARNESS_PROGRAMS_DIR]),
    // bwrap makes both as writable memory file systems.
    ...["--remount-ro", "/dev", "--remount-ro", "/"],
  ];
}

function egressMounts(host: LaunchHost, socketPath: string, { base, draft }: SystemPlan): string[] {
  const { caBundle } = host;
  const bind = binding(host);
  const all = base === null ? (caBundle?.places ?? []) : [CA_BUNDLE_PATH, ...base.caPlaces];
  const places = all.filter((at) => draft === null || at === CA_BUNDLE_PATH);
  const authorities = caBundle === null ? [] : places.flatMap((at) => bind(caBundle.path, at, false));
  return [...bind(socketPath, EGRESS_SOCKET_PATH, true), ...authorities];
}

function shownPath(host: LaunchHost, path: string): string {
  const { hiddenDir } = host;
  return hiddenDir !== null && path.startsWith(`${hiddenDir}/`) ? `${SHOWN_AT}${path.slice(hiddenDir.length)}` : path;
}

function envArgs(plan: LaunchPlan): string[] {
  const variables = Object.entries(plan.env).flatMap(([name, value]) => ["--setenv", name, value]);
  return ["--clearenv", ...variables, "--chdir", plan.cwd];
}

function innerCommand(host: LaunchHost, plan: LaunchPlan): readonly string[] {
  const { processesMax, memoryBytesMax } = plan.limits;
  const steps: { script: string; args: string[] }[] = [];
  if (plan.needsInnerLimits) {
    const dataKib = Math.floor(Math.max(memoryBytesMax, PROCESS_DATA_BYTES_MIN) / 1024);
    steps.push({ script: INNER_LIMITS_SCRIPT, args: [String(processesMax), String(dataKib)] });
  }
  const { base } = plan.system;
  const [bash, socat] = base === null ? ["/bin/bash", host.tools.socat] : [IMAGE_BASH, IMAGE_SOCAT];
  if (plan.egressSocketPath !== null) steps.push({ script: `{ ${FORWARD_SCRIPT}; }`, args: [socat] });
  if (steps.length === 0) return plan.command;
  const script = [...steps.map((step) => step.script), 'exec "$@"'].join(" && ");
  // bash takes a socket for a login over the network, and would run what the session has put into ~/.bashrc.
  return [bash, "--norc", "-c", script, "bash", ...steps.flatMap((step) => step.args), ...plan.command];
}
