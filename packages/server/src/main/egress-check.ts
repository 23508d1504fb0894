import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { dirname, join } from "node:path";
import { hasCertificateAuthority, readOpenFilesMax } from "@sandbox0/egress";
import type { Finding } from "@sandbox0/sandbox";

/** Where the gateway keeps its authority, in the data directory. */
export const EGRESS_DIR = "egress";
/** Half of it is for sandboxes: 8,192 sockets, which is all that the gateway would use. */
const OPEN_FILES_MIN = 16_384;

/** For `sandbox0 doctor`: would the egress gateway start over this data directory? Changes nothing. */
export async function checkEgressGateway(dataDir: string): Promise<Finding> {
  const name = "egress gateway";
  const dir = join(dataDir, EGRESS_DIR);
  const fix = `Make ${dir} and what is in it readable and writable for this user. Sandboxes have no way out without it.`;
  try {
    if (await hasCertificateAuthority(dir)) return { name, ok: true, detail: `its authority in ${dir} can be read` };
    await access(await nearestFolder(dir), constants.W_OK);
    return { name, ok: true, detail: `makes its authority in ${dir} at the first start` };
  } catch (error) {
    return { name, ok: false, detail: error instanceof Error ? error.message : String(error), fix };
  }
}

async function nearestFolder(path: string): Promise<string> {
  const isThere = await access(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code !== "ENOENT",
  );
  return isThere ? path : nearestFolder(dirname(path));
}

/** @param max of this process, which a server started the same way would have too */
export function checkOpenFiles(max = readOpenFilesMax()): Finding {
  const name = "open files";
  if (max >= OPEN_FILES_MIN) return { name, ok: true, detail: `at most ${max}` };
  const fix = `Raise it to at least ${OPEN_FILES_MIN} (ulimit -n, LimitNOFILE=): half of it is what all sandboxes together may use.`;
  return { name, ok: false, detail: `at most ${max}, which is little for many sandboxes`, fix };
}
