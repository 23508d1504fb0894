/** The last part of the path of a memory or of a prefix: `/notes/todo.md` is `todo.md`, `/notes/` is `notes`. */
export function lastSegment(path: string): string {
  return path.replace(/\/$/, "").split("/").at(-1) || path;
}

/** Whether the folder `prefix`, which ends with `/`, holds the path. */
export const holds = (prefix: string, path: string): boolean => path.startsWith(prefix);
