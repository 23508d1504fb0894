/** Where a session's resources are in its sandbox (contract §6.1, §10; semantics §11-§13). */
export const UPLOADS_ROOT = "/mnt/session/uploads";
export const WORKSPACE_ROOT = "/workspace";
export const MEMORY_ROOT = "/mnt/memory";

/** Of a whole path, and of one name in it, in UTF-8: what Linux takes, with room for where volumes are on the host. */
const PATH_BYTES_MAX = 1_024;
const NAME_BYTES_MAX = 255;

export type MountPath = { path: string } | { problem: string };

const bytesOf = (text: string): number => new TextEncoder().encode(text).length;

/**
 * Where a file is mounted: always below {@link UPLOADS_ROOT}, also when the path does not say so; one that begins with it is
 * not put below it a second time.
 */
export function uploadPath(given: string): MountPath {
  return placeBelow(UPLOADS_ROOT, given);
}

/** Where a repository is cloned to: below {@link WORKSPACE_ROOT}, which an absolute path must say. */
export function repositoryPath(given: string): MountPath {
  if (given.startsWith("/") && !isBelow(given, WORKSPACE_ROOT)) return { problem: `must be below ${WORKSPACE_ROOT}` };
  return placeBelow(WORKSPACE_ROOT, given);
}

/** Of a memory store, by its name (contract §10); `taken` are those of the session's other stores. */
export function memoryPath(storeName: string, taken: ReadonlySet<string>): string {
  const slug = storeName.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
  const path = `${MEMORY_ROOT}/${slug}`;
  for (let nth = 1; ; nth++) {
    const free = nth === 1 ? path : `${path}-${nth}`;
    if (!taken.has(free)) return free;
  }
}

/** Two paths that cannot both be mounted: they are the same, or the second is inside the first. */
export function findOverlap(paths: readonly string[]): [string, string] | null {
  // With a slash behind, what is inside a path comes right behind it.
  const sorted = paths.map((path) => `${path}/`).sort(byCodeUnit);
  for (const [index, path] of sorted.entries()) {
    const next = sorted[index + 1];
    if (next?.startsWith(path)) return [path.slice(0, -1), next.slice(0, -1)];
  }
  return null;
}

const byCodeUnit = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const isBelow = (path: string, root: string): boolean => path === root || path.startsWith(`${root}/`);

function placeBelow(root: string, given: string): MountPath {
  if (!given.isWellFormed()) return { problem: "must be valid Unicode" };
  if (/\p{Cc}/u.test(given)) return { problem: "must not contain control characters" };
  if (given.endsWith("/")) return { problem: "must name a file or directory, and not end with a slash" };
  const names = (isBelow(given, root) ? given.slice(root.length) : given).split("/").filter((name) => name !== "");
  if (names.length === 0) return { problem: `must be below ${root}` };
  if (names.some((name) => name === "." || name === "..")) return { problem: "must not contain `.` or `..`" };
  if (names.some((name) => bytesOf(name) > NAME_BYTES_MAX)) return { problem: `has a name of more than ${NAME_BYTES_MAX} bytes` };
  const path = `${root}/${names.join("/")}`;
  return bytesOf(path) > PATH_BYTES_MAX ? { problem: `must be at most ${PATH_BYTES_MAX} bytes long` } : { path };
}
