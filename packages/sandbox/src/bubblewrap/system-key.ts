import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { isRoot } from "./host.ts";

/** Raise it when what is in a layer, or may be, changes. */
const LAYER_FORMAT = 2;
/** Change with the system's packages; a layer over other ones would be half of each. */
const SYSTEM_FACTS = ["/var/lib/dpkg/status", "/usr", "/usr/bin", "/usr/lib", "/usr/local/bin", "/usr/local/lib", "/lib", "/bin"];
const OS_RELEASE = "/usr/lib/os-release";

/** Another one for each system that layers could lie over. */
export async function systemKey(): Promise<string> {
  const facts = SYSTEM_FACTS.map((path) => {
    const entry = statSync(path, { throwIfNoEntry: false });
    return entry === undefined ? null : [entry.size, entry.mtimeMs];
  });
  const release = await readFile(OS_RELEASE, "utf8").catch(() => "");
  const all = [LAYER_FORMAT, process.arch, isRoot(), release, facts];
  return createHash("sha256").update(JSON.stringify(all)).digest("hex").slice(0, 16);
}
