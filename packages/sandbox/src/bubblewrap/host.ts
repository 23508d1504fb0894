import { execFile } from "node:child_process";
import { constants, existsSync, lstatSync, readlinkSync, statSync } from "node:fs";
import { access, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import type { Finding } from "../port.ts";
import type { SeccompArch } from "./seccomp.ts";

const run = promisify(execFile);
const PROBE_TIMEOUT_MS = 10_000;
/** What the server's own helpers run with; nothing is inherited. */
export const HELPER_ENV: Readonly<Record<string, string>> = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C" };

const BWRAP_PATHS = ["/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap"];
const SOCAT_PATHS = ["/usr/bin/socat", "/bin/socat"];
const SETPRIV_PATHS = ["/usr/bin/setpriv", "/bin/setpriv"];
/** Options that every sandbox uses; Debian 12 and Ubuntu 24.04 have them. */
const NEEDED_OPTIONS = ["--unshare-user", "--disable-userns", "--seccomp", "--size", "--die-with-parent", "--clearenv"];

/** Programs of this machine that the driver starts. */
export interface HostTools {
  bwrap: string;
  /** Leads from a sandbox's loopback to its socket of the egress gateway. */
  socat: string;
  /** Needed by root only. */
  setpriv: string | null;
}

/** The user that bwrap runs as on the host: the volume's owner. */
export interface SandboxUser {
  uid: number;
  gid: number;
}

export function firstThatExists(paths: readonly string[]): string | null {
  return paths.find((path) => existsSync(path)) ?? null;
}

export function seccompArch(): SeccompArch | null {
  return process.arch === "x64" || process.arch === "arm64" ? process.arch : null;
}

/** What this machine has; `null` where bwrap or socat is missing. */
export function findHostTools(bwrapPath?: string): HostTools | null {
  const [bwrap, socat] = [findBwrap(bwrapPath), firstThatExists(SOCAT_PATHS)];
  return bwrap === null || socat === null ? null : { bwrap, socat, setpriv: firstThatExists(SETPRIV_PATHS) };
}

function findBwrap(path?: string): string | null {
  return firstThatExists(path === undefined ? BWRAP_PATHS : [path]);
}

async function bwrapHelp(bwrap: string): Promise<string> {
  const { stdout } = await run(bwrap, ["--help"], { env: HELPER_ENV, timeout: PROBE_TIMEOUT_MS });
  return stdout;
}

/** Whether any user can walk to the directory. */
export function isReachableForAll(dir: string): boolean {
  for (let path = dir; ; path = dirname(path)) {
    if ((statSync(path).mode & 0o001) === 0) return false;
    if (path === "/") return true;
  }
}

/** A top-level name of the system: a directory, or on merged systems a link into `/usr`. */
export interface SystemDir {
  path: string;
  /** Where it leads; `null`: it is a directory. */
  link: string | null;
}

export function systemDirs(): SystemDir[] {
  const dirs: SystemDir[] = [{ path: "/usr", link: null }];
  for (const path of ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"]) {
    const entry = lstatSync(path, { throwIfNoEntry: false });
    if (entry !== undefined) dirs.push({ path, link: entry.isSymbolicLink() ? readlinkSync(path) : null });
  }
  return dirs;
}

/** The findings of `doctor` that need no sandbox to be started. */
export async function checkHost(bwrapPath?: string): Promise<Finding[]> {
  const bwrap = findBwrap(bwrapPath);
  const socat = firstThatExists(SOCAT_PATHS);
  const arch = seccompArch();
  const findings: Finding[] = [
    finding("linux", process.platform === "linux", process.platform, "run the server on Linux, or use another sandbox driver"),
    finding("processor", arch !== null, process.arch, "the bubblewrap driver knows x64 and arm64"),
    finding(
      "bubblewrap",
      bwrap !== null,
      bwrap ?? "not installed",
      "install the package bubblewrap (apt-get install bubblewrap)",
    ),
    finding("socat", socat !== null, socat ?? "not installed", "install the package socat (apt-get install socat)"),
    finding("bash", existsSync("/bin/bash"), existsSync("/bin/bash") ? "/bin/bash" : "not installed", "install the package bash"),
  ];
  if (bwrap !== null) findings.push(await checkOptions(bwrap));
  if (isRoot()) {
    const setpriv = firstThatExists(SETPRIV_PATHS);
    findings.push(finding("setpriv", setpriv !== null, setpriv ?? "not installed", "install the package util-linux"));
  }
  findings.push(await checkUserNamespaces());
  return findings;
}

async function checkOptions(bwrap: string): Promise<Finding> {
  const help = await bwrapHelp(bwrap);
  const missing = NEEDED_OPTIONS.filter((option) => !help.includes(option));
  const detail = missing.length === 0 ? "has what is needed" : `has no ${missing.join(", ")}`;
  return finding("bubblewrap version", missing.length === 0, detail, "install bubblewrap 0.8 or newer");
}

async function checkUserNamespaces(): Promise<Finding> {
  const max = await readNumber("/proc/sys/user/max_user_namespaces");
  const cloneAllowed = await readNumber("/proc/sys/kernel/unprivileged_userns_clone");
  if (max === 0) return finding("user namespaces", false, "switched off", "sysctl -w user.max_user_namespaces=65536");
  if (cloneAllowed === 0)
    return finding("user namespaces", false, "switched off for users", "sysctl -w kernel.unprivileged_userns_clone=1");
  return finding("user namespaces", true, max === null ? "present" : `up to ${max}`, "");
}

async function readNumber(path: string): Promise<number | null> {
  const readable = await access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
  return readable ? Number(await readFile(path, "utf8")) : null;
}

export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

export function finding(name: string, ok: boolean, detail: string, fix: string): Finding {
  return ok ? { name, ok, detail } : { name, ok, detail, fix };
}
