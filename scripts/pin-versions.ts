import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readManifest } from "./package-manifest.ts";
import { runCommand } from "./run-command.ts";

interface Lockfile {
  packages: Record<string, { link?: boolean; [field: string]: unknown }>;
}

/**
 * Writes the package's `npm-shrinkwrap.json`: every dependency of a dependency, too, at the version and with the checksum that
 * our own lockfile has. npm keeps what fits a lockfile that it finds, and takes out what nothing needs.
 * @param lockfilePath ours
 * @param target the package's directory, with its `package.json`
 */
export async function pinVersions(lockfilePath: string, target: string): Promise<void> {
  const { name, version, ...manifest } = readManifest(join(target, "package.json"));
  const lockfile = JSON.parse(readFileSync(lockfilePath, "utf8")) as Lockfile;
  const npms = Object.entries(lockfile.packages).filter(([path, { link }]) => path.startsWith("node_modules/") && link !== true);
  const packages = { "": { name, version, ...manifest }, ...Object.fromEntries(npms) };
  const [draft, pinned] = [join(target, "package-lock.json"), join(target, "npm-shrinkwrap.json")];
  rmSync(pinned, { force: true });
  writeFileSync(draft, JSON.stringify({ name, version, lockfileVersion: 3, requires: true, packages }));
  // No registry's name in what is published: an install asks the one that its user has set.
  const options = ["--package-lock-only", "--ignore-scripts", "--prefer-offline", "--omit-lockfile-registry-resolved"];
  await runCommand("npm", ["install", ...options, "--no-audit", "--no-fund", "--loglevel=error"], target);
  checkPinned(lockfile, JSON.parse(readFileSync(draft, "utf8")) as Lockfile);
  renameSync(draft, pinned);
}

/** @throws Error for a version that ours has not: nobody has tested that one */
function checkPinned(ours: Lockfile, theirs: Lockfile): void {
  const known = new Set(Object.values(ours.packages).map(({ integrity }) => integrity));
  const strange = Object.entries(theirs.packages).filter(([path, { integrity }]) => path !== "" && !known.has(integrity));
  if (strange.length > 0) throw new Error(`not as in our lockfile: ${strange.map(([path]) => path).join(", ")}`);
}
