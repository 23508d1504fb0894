import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { open, opendir, rmdir, unlink } from "node:fs/promises";
import { promisify } from "node:util";

const run = promisify(execFile);
const HELPER_ENV = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C" };
/** Trees that the server removes by itself; most directories of sandboxes are nearly empty, and a process costs it 10 ms. */
const SMALL_ENTRIES_MAX = 64;
const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/**
 * Removes a directory that a session has filled. Something may still run in it: both ways go from one open directory to the
 * next and follow no link, so that what is swapped meanwhile leads nowhere else. (Node's own goes by paths.) The owner may
 * have closed directories to themselves (mode 000): a user who is not root gets over that in a user namespace of their own.
 * @param path of the host's own, with no link in it that a session could have made
 */
export async function removeTree(path: string): Promise<void> {
  if (await removeSmall(path)) return;
  const command = ["rm", "-rf", "--", path];
  const [file = "", ...args] = process.getuid?.() === 0 ? command : ["unshare", "--user", "--map-root-user", ...command];
  await run(file, args, { env: HELPER_ENV });
}

async function removeSmall(path: string): Promise<boolean> {
  try {
    await removeFew(Buffer.from(path), { entries: SMALL_ENTRIES_MAX });
    return true;
  } catch {
    // Too many, closed to its owner, changed meanwhile, or gone: `rm` knows.
    return false;
  }
}

async function removeFew(path: Buffer, left: { entries: number }): Promise<void> {
  const directory = await open(path, DIRECTORY);
  try {
    // The kernel leads from the number to that very directory, whatever became of its name.
    const own = `/proc/self/fd/${directory.fd}`;
    const found = [];
    // Names are bytes, and need not be UTF-8.
    for await (const entry of await opendir(own, { encoding: "latin1" })) {
      if (left.entries-- === 0) throw new Error("not small");
      found.push({ at: Buffer.from(`${own}/${entry.name}`, "latin1"), isDirectory: entry.isDirectory() });
    }
    for (const { at, isDirectory } of found) await (isDirectory ? removeFew(at, left) : unlink(at));
  } finally {
    await directory.close();
  }
  await rmdir(path);
}
