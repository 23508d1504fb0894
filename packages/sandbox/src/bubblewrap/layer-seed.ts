import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, lstatSync, realpathSync } from "node:fs";
import { copyFile, cp, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { makeDir } from "../make-dir.ts";
import { SHARED_ETC_DIRS } from "./etc-files.ts";
import { HELPER_ENV, isRoot, type SandboxUser } from "./host.ts";
import { OWN_FILES_PATH } from "./system-view.ts";

const run = promisify(execFile);

const DPKG_DIR = "/var/lib/dpkg";
/** Accounts of every Debian system, as the package `base-passwd` ships them. */
const BASE_ACCOUNTS_DIR = "/usr/share/base-passwd";
/** What Debian gives to the accounts that packages make. */
const SYSTEM_IDS = { first: 100, last: 999 };
const ACCOUNT_SOURCES: readonly (readonly [dir: string, name: RegExp])[] = [
  [join(DPKG_DIR, "info"), /[.](?:postinst|preinst)$/],
  ["/usr/lib/sysusers.d", /[.]conf$/],
];
const FILES_READ_AT_ONCE = 32;

/** Made by packages when they were set up and shipped by none; nothing of the machine's own is in them. */
const SET_UP_ETC_FILES: readonly string[] = [
  "ca-certificates.conf",
  "pam.d/common-account",
  "pam.d/common-auth",
  "pam.d/common-password",
  "pam.d/common-session",
  "pam.d/common-session-noninteractive",
];
/** Of apt: where packages come from and who signs them. Not `auth.conf`, which has passwords. */
const APT_SOURCES: readonly string[] = ["apt/sources.list", "apt/sources.list.d"];
const APT_SHARED: readonly string[] = ["apt/preferences", "apt/preferences.d", "apt/keyrings", "apt/trusted.gpg.d"];
/** One user is all that a draft has; it is thrown away when something goes wrong, and nobody answers questions. */
export const APT_SETTINGS = `APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Dpkg::Use-Pty "0";
DPkg::Options { "--force-unsafe-io"; "--force-confdef"; "--force-confold"; };
DPkg::Pre-Install-Pkgs { "${OWN_FILES_PATH}"; };
`;
const MADE_DIRS: readonly string[] = [
  ...["0", "1", "2", "3", "4", "5", "6", "S"].map((level) => `etc/rc${level}.d`),
  ...["etc/apt/apt.conf.d", "etc/apt/sources.list.d", "etc/apt/preferences.d", "etc/apt/trusted.gpg.d"],
  ...["var/cache/apt/archives/partial", "var/cache/debconf", "var/cache/ldconfig"],
  ...["var/lib/apt/lists/partial", "var/lib/dpkg", "var/lib/pam", "var/lib/ucf", "var/lib/misc", "var/lib/systemd"],
  ...["var/log/apt", "var/spool", "var/backups", "var/local", "var/mail", "var/opt"],
];
const LINKS: readonly (readonly [at: string, to: string])[] = [
  ["var/tmp", "../tmp"],
  ["var/run", "/run"],
  ["var/lock", "/run/lock"],
];

/** Locks are not copied: they belong to root and are made anew. $1: the parent of dpkg's directory, $2: its place in the seed. */
const DPKG_SCRIPT = `set -e -o pipefail
tar -C "$1" -c --exclude=lock --exclude=lock-frontend --exclude=Lock --exclude='updates/*' dpkg | tar -C "$2" -x --no-same-owner`;

export interface SeedSource {
  /** The sandbox's own `/etc`. */
  etcDir: string;
  /** Of everything in it; `null`: the server's own user. */
  owner: SandboxUser | null;
}

/**
 * Writes what layers lie over in `/etc` and `/var`: as much of the host's as packages need to be installed, and nothing that is
 * private to the machine. Of `/etc` that is the sandbox's own, and files that are still as the distribution ships them.
 */
export async function writeLayerSeed(dir: string, { etcDir, owner }: SeedSource): Promise<void> {
  const etc = join(dir, "etc");
  makeDir(dir, 0o755);
  for (const name of MADE_DIRS) await mkdir(join(dir, name), { recursive: true });
  await cp(etcDir, etc, { recursive: true, verbatimSymlinks: true });
  for (const name of [...SHARED_ETC_DIRS, ...SET_UP_ETC_FILES, ...APT_SHARED]) await copyShared(name, etc);
  for (const [at, to] of LINKS) await symlink(to, join(dir, at));
  if (existsSync(join(DPKG_DIR, "status"))) await copyPackageFiles(dir);
  await writeAptSettings(etc);
  await writeAccounts(etc);
  if (owner !== null) await run("chown", ["-h", "-R", `${owner.uid}:${owner.gid}`, dir], { env: HELPER_ENV });
}

async function copyShared(name: string, etc: string): Promise<void> {
  const source = join("/etc", name);
  if (!existsSync(source)) return;
  await mkdir(dirname(join(etc, name)), { recursive: true });
  await cp(source, join(etc, name), { recursive: true, force: true, verbatimSymlinks: true, filter: isReadable });
}

/** What is closed to others than root would be a draft's user's own; packages do without. */
function isReadable(path: string): boolean {
  const entry = lstatSync(path);
  if (entry.isSymbolicLink()) return true;
  const wanted = entry.isDirectory() ? 0o005 : 0o004;
  if (isRoot()) return (entry.mode & wanted) === wanted;
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EACCES") return false;
    throw error;
  }
}

function isDirectory(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  } catch (error) {
    // In a directory that is closed to the server's user.
    if ((error as NodeJS.ErrnoException).code === "EACCES") return false;
    throw error;
  }
}

async function copyPackageFiles(dir: string): Promise<void> {
  const parent = dirname(DPKG_DIR);
  await run("/bin/bash", ["--norc", "-c", DPKG_SCRIPT, "sandbox0", parent, join(dir, parent)], { env: HELPER_ENV });
  await copyFile("/var/lib/apt/extended_states", join(dir, "var/lib/apt/extended_states")).catch(ignoreMissing);
  // Who owns what: all of it has one owner.
  await writeFile(join(dir, DPKG_DIR, "statoverride"), "");
  const status = await readFile(join(DPKG_DIR, "status"), "utf8");
  const files = [...conffilesIn(status)];
  while (files.length > 0) {
    await Promise.all(files.splice(0, FILES_READ_AT_ONCE).map(([path, md5]) => copyPristine(path, md5, dir)));
  }
  for (const path of await listedDirs()) await mkdir(join(dir, path), { recursive: true });
}

/** Paths and MD5 sums of the configuration files, as their packages ship them. */
export function conffilesIn(status: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, block = ""] of status.matchAll(/^Conffiles:\n((?: .*\n)*)/gm)) {
    for (const [, path = "", md5 = ""] of block.matchAll(/^ (\/etc\/\S+) ([0-9a-f]{32})$/gm)) found.set(path, md5);
  }
  return found;
}

/** A file that somebody has changed may hold anything; dpkg takes a missing one for deleted. */
async function copyPristine(path: string, md5: string, dir: string): Promise<void> {
  const content = await readFile(path).catch(nullWhenNone);
  if (content === null || createHash("md5").update(content).digest("hex") !== md5) return;
  await mkdir(dirname(join(dir, path)), { recursive: true });
  // A script keeps its mode.
  await copyFile(path, join(dir, path)).catch(ignoreMissing);
}

/** Directories that packages bring with them, for scripts that write there. */
async function listedDirs(): Promise<string[]> {
  const info = join(DPKG_DIR, "info");
  const paths = new Set<string>();
  for (const name of await readdir(info)) {
    if (!name.endsWith(".list")) continue;
    for (const [path] of (await readFile(join(info, name), "utf8")).matchAll(/^\/(?:etc|var)\/.+$/gm)) paths.add(path);
  }
  const isLinked = (path: string): boolean => LINKS.some(([at]) => path === `/${at}` || path.startsWith(`/${at}/`));
  return [...paths].filter((path) => !isLinked(path) && isDirectory(path));
}

/** Sources without those that have a login in their URL. */
async function writeAptSettings(etc: string): Promise<void> {
  await writeFile(join(etc, "apt/apt.conf.d/99sandbox0"), APT_SETTINGS);
  for (const name of APT_SOURCES) {
    const path = join("/etc", name);
    const names = name.endsWith(".d") ? ((await readdir(path).catch(nullWhenNone)) ?? []) : [""];
    for (const file of names) {
      if (!existsSync(join(path, file)) || !isReadable(realpathSync(join(path, file)))) continue;
      const text = await readFile(join(path, file), "utf8").catch(nullWhenNone);
      if (text !== null && !/:\/\/[^\s/]*@/.test(text)) await writeFile(join(etc, name, file), text);
    }
  }
}

/**
 * The sandbox's accounts, those that every Debian system has, and of the machine's those that some package has made: scripts of
 * packages give files to them. Nobody logs in anywhere.
 */
async function writeAccounts(etc: string): Promise<void> {
  const packaged = await packagedNames();
  const read = async (name: string): Promise<string[]> => {
    const own = await readLines(join(etc, name));
    const base = await readLines(join(BASE_ACCOUNTS_DIR, `${name}.master`));
    const machine = (await readLines(join("/etc", name))).filter((line) => isSystemAccount(line) && packaged.has(nameIn(line)));
    const known = new Map([...machine, ...base, ...own].map((line) => [nameIn(line), line.replace(/:[^:]*:/, ":x:")]));
    return [...known.values()];
  };
  const [users, groups] = await Promise.all([read("passwd"), read("group")]);
  const shadow = users.map((line) => `${nameIn(line)}:*:19000:0:99999:7:::`);
  const gshadow = groups.map((line) => `${nameIn(line)}:*::`);
  for (const [name, lines] of Object.entries({ passwd: users, group: groups, shadow, gshadow })) {
    await writeFile(join(etc, name), `${lines.join("\n")}\n`);
  }
}

const nameIn = (line: string): string => line.slice(0, line.indexOf(":"));

function isSystemAccount(line: string): boolean {
  const id = Number(line.split(":")[2]);
  return id >= SYSTEM_IDS.first && id <= SYSTEM_IDS.last;
}

async function readLines(path: string): Promise<string[]> {
  const text = (await readFile(path, "utf8").catch(nullWhenNone)) ?? "";
  return text.split("\n").filter((line) => line.includes(":"));
}

/** Every word that packages' scripts and lists of accounts use: a machine's own accounts are not among them. */
async function packagedNames(): Promise<Set<string>> {
  const words = new Set<string>();
  for (const [dir, pattern] of ACCOUNT_SOURCES) {
    for (const name of (await readdir(dir).catch(nullWhenNone)) ?? []) {
      if (!pattern.test(name)) continue;
      for (const [word] of (await readFile(join(dir, name), "utf8")).matchAll(/[a-z_][a-z0-9_-]*/g)) words.add(word);
    }
  }
  return words;
}

/** What the machine has not, or keeps from the server's user, the sandbox has not either: systems differ in all of these files. */
const NONE = new Set(["ENOENT", "ENOTDIR", "EISDIR", "ELOOP", "EACCES", "EPERM"]);

function nullWhenNone(error: NodeJS.ErrnoException): null {
  if (!NONE.has(error.code ?? "")) throw error;
  return null;
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}
