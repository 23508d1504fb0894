import { existsSync, lstatSync } from "node:fs";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { CA_BUNDLE_PATH } from "../layout.ts";

/** Where distributions keep all authorities in one file, below `/etc`, which programs read unless told otherwise. */
const SYSTEM_BUNDLES = ["ssl/certs/ca-certificates.crt", "pki/ca-trust/extracted/pem/tls-ca-bundle.pem"];
/** In sandboxes: the gateway's may be shown in their place. */
export const SYSTEM_CA_PLACES: readonly string[] = SYSTEM_BUNDLES.map((name) => join("/etc", name));

/** Certificate authorities for sandboxes with a way out. */
export interface CaBundle {
  /** On the host. */
  path: string;
  /** Where it is shown in sandboxes. */
  places: readonly string[];
}

/**
 * The host's authorities, or Node's where the host has none, and the gateway's own.
 * @param path the file to write
 * @param gatewayCa PEM
 */
export async function writeCaBundle(path: string, gatewayCa: string, hostEtc: string): Promise<CaBundle> {
  const system = SYSTEM_BUNDLES.find((name) => existsSync(join(hostEtc, name)));
  const authorities = system === undefined ? rootCertificates.join("\n") : await readFile(join(hostEtc, system), "utf8");
  await writeFile(path, `${authorities.trimEnd()}\n${gatewayCa.trimEnd()}\n`);
  // Whatever the server's umask: sandboxes read it as users of their own.
  await chmod(path, 0o644);
  // A link leads to one of the others.
  const isFile = (name: string): boolean => lstatSync(join(hostEtc, name), { throwIfNoEntry: false })?.isFile() ?? false;
  return { path, places: [CA_BUNDLE_PATH, ...SYSTEM_BUNDLES.filter(isFile).map((name) => join("/etc", name))] };
}
