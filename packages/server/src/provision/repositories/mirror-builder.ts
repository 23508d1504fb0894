import { createWriteStream } from "node:fs";
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { BorrowedSandbox, Sandbox, SandboxPool } from "@sandbox0/sandbox";
import { complaintOf } from "./repository-failure.ts";
import { runScript } from "./run-script.ts";

const BUILD_MS = 30 * 60_000;
/** A larger repository has no mirror: sessions clone it. */
export const MIRROR_BYTES_MAX = 4 * 1024 ** 3;
/** Where the sandbox of a builder sees the mirror before. */
const SEED_AT = "/run/sandbox0/seed";
const READABLE_MODE = 0o644;
const PACK_NAME = /^pack-(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/** What a mirror is made of: files of these names in a directory, and its pack. */
export const REFS_FILE = "refs";
/** For sed: makes of each commit in that file a reference that says that it is there. */
export const REFS_TO_COMMANDS = "s/^([0-9a-f]{40}|[0-9a-f]{64})$/create refs\\/sandbox0\\/& &/p";

/**
 * Everything that branches and tags reach in one pack, and which commits that are. Prints the pack's name; nothing when the
 * repository is empty.
 */
const SCRIPT = `
url=$1 seed=$2
cd /workspace && git -c init.defaultBranch=main init -q --bare mirror && cd mirror || exit 1
if [[ -n $seed ]]; then
  cp -- "$seed"/*.pack "$seed"/*.idx objects/pack/ &&
    sed -nE '${REFS_TO_COMMANDS}' "$seed/refs" | git update-ref --stdin || exit 1
fi
git -c fetch.unpackLimit=1 fetch -q --no-auto-gc "$url" '+refs/heads/*:refs/heads/*' '+refs/tags/*:refs/tags/*' &&
  git for-each-ref --format='delete %(refname)' refs/sandbox0/ | git update-ref --stdin &&
  git repack -adq && git for-each-ref --format='%(objectname)' | sort -u >list || exit 1
cd objects/pack && for name in *.pack; do [[ ! -e $name ]] || echo "\${name%.pack}"; done`;

export interface BuildOrder {
  /** Whose token and network it is made with. */
  sessionId: string;
  url: string;
  /** A mirror of it that is older; `null`: there is none. */
  seed: string | null;
  /** An empty directory of the host. */
  into: string;
}

/**
 * Makes a mirror in a sandbox of its own, where nothing of a session runs and nothing but this repository comes in; the host
 * only stores the bytes that come out. `false`: the repository has nothing to mirror, or is too large.
 * @throws SandboxError, or an Error that says what git complained of
 */
export async function buildMirror(pool: Pick<SandboxPool, "borrow">, order: BuildOrder, signal: AbortSignal): Promise<boolean> {
  const mounts = order.seed === null ? [] : [{ source: order.seed, at: SEED_AT, writable: false }];
  const borrowed = await pool.borrow(order.sessionId, mounts.length === 0 ? null : { mounts, layers: [] });
  try {
    return await buildIn(borrowed, order, AbortSignal.any([signal, AbortSignal.timeout(BUILD_MS)]));
  } finally {
    await borrowed.end();
  }
}

async function buildIn({ sandbox }: BorrowedSandbox, { url, seed, into }: BuildOrder, signal: AbortSignal): Promise<boolean> {
  const end = await runScript(sandbox, SCRIPT, [url, seed === null ? "" : SEED_AT], { signal });
  if (end.code !== 0) throw new Error(`git could not mirror ${url}: ${complaintOf(end.complaint) || `status ${end.code}`}`);
  const names = end.output.split("\n").filter((name) => name !== "");
  const [name = ""] = names;
  if (names.length === 0) return false;
  if (names.length > 1 || !PACK_NAME.test(name)) throw new Error(`a mirror of ${url} has the packs ${complaintOf(end.output)}`);
  const pack = `/workspace/mirror/objects/pack/${name}`;
  let room = MIRROR_BYTES_MAX;
  for (const [from, file] of [
    [`${pack}.idx`, `${name}.idx`],
    ["/workspace/mirror/list", REFS_FILE],
    [`${pack}.pack`, `${name}.pack`],
  ] as const) {
    const bytes = await readOut(sandbox, from, join(into, file), room, signal);
    if (bytes === null) return false;
    room -= bytes;
  }
  return true;
}

/** @returns how many bytes; `null`: more than there is room for */
async function readOut(
  sandbox: Sandbox,
  from: string,
  to: string,
  bytesMax: number,
  signal: AbortSignal,
): Promise<number | null> {
  const child = await sandbox.exec(["/bin/cat", "--", from], { signal, network: false });
  child.stdin.end();
  child.stderr.resume();
  let bytes = 0;
  const untilFull = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of child.stdout) {
      bytes += chunk.length;
      if (bytes > bytesMax) return void child.kill("SIGKILL");
      yield chunk as Buffer;
    }
  };
  await pipeline(Readable.from(untilFull()), createWriteStream(to, { mode: READABLE_MODE }));
  const { code } = await child.exited;
  if (bytes > bytesMax) return null;
  if (code !== 0) throw new Error(`${from} could not be read out of its sandbox`);
  // Whatever the umask: sandboxes read it as users of their own.
  await chmod(to, READABLE_MODE);
  return bytes;
}
