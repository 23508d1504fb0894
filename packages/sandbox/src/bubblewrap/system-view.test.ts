import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { skeletonArgs } from "./system-view.ts";

const run = promisify(execFile);
/** Nobody's: it has no account and owns nothing. */
const USER = { uid: 54_321, gid: 54_321 };
const AS_USER = ["setpriv", `--reuid=${USER.uid}`, `--regid=${USER.gid}`, "--clear-groups", "--"];
/** In a mount namespace of its own. $1: what is shown as a directory of the system */
const SHOWN = [
  "unshare",
  "--mount",
  "--propagation",
  "private",
  "bash",
  "-c",
  'mount --bind "$1" /srv; shift; exec "$@"',
  "bash",
];

const isRoot = process.getuid?.() === 0;

test.skipIf(!isRoot)("a draft has no directories of its own in place of those that are closed to its user", async () => {
  const dir = await mkdtemp(join(tmpdir(), "sandbox0-skeleton-"));
  try {
    const [system, view] = [join(dir, "system"), join(dir, "view")];
    for (const path of ["open/inner", "closed/inner", "unlisted/inner"]) await mkdir(join(system, path), { recursive: true });
    await mkdir(view);
    for (const path of [dir, system]) await chmod(path, 0o755);
    await chmod(join(system, "closed"), 0o700);
    await chmod(join(system, "unlisted"), 0o711);
    const skeleton = skeletonArgs(view, USER, AS_USER, { root: "/", dirs: ["/srv"] });
    const [file = "", ...args] = [...SHOWN, system, ...skeleton, "find", `${view}/srv`, "-printf", "%P %u\\n"];
    const { stdout } = await run(file, args);
    expect(stdout.split("\n").filter(Boolean).sort()).toEqual(["", "open", "open/inner"].map((path) => `${path} ${USER.uid}`));
  } finally {
    await rm(dir, { recursive: true });
  }
});
