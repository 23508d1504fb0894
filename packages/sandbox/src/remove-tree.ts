import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);
const HELPER_ENV = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C" };

/**
 * Removes a directory that a session has filled. By `rm`, because Node's own takes 1.5 seconds of the server's thread
 * for 500 directories in each other. Their owner may have closed directories to themselves (mode 000): a user who is not root gets over that in
 * a user namespace of their own.
 */
export async function removeTree(path: string): Promise<void> {
  const command = ["rm", "-rf", "--", path];
  const [file = "", ...args] = process.getuid?.() === 0 ? command : ["unshare", "--user", "--map-root-user", ...command];
  await run(file, args, { env: HELPER_ENV });
}
