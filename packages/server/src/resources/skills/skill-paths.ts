import { invalidRequest } from "@sandbox0/protocol";
import { SKILL_PATH_BYTES_MAX, SKILL_PATH_SEGMENTS_MAX, SKILL_SEGMENT_BYTES_MAX } from "./skill-limits.ts";

const SHOWN_CHARS_MAX = 200;
export const shown = (path: string): string => JSON.stringify(path.slice(0, SHOWN_CHARS_MAX));

/** What is wrong with where a file of a skill wants to be; `null` when nothing is. */
function describePathProblem(path: string): string | null {
  if (path.startsWith("/") || /^[a-z]:/i.test(path)) return "must be relative";
  if (!path.isWellFormed() || /[\p{Cc}\\]/u.test(path)) return "must not contain backslashes or control characters";
  if (Buffer.byteLength(path) > SKILL_PATH_BYTES_MAX) return `must have at most ${SKILL_PATH_BYTES_MAX} bytes`;
  const segments = path.split("/");
  if (segments.some((segment) => segment === "" || segment === "." || segment === ".."))
    return 'must not have empty parts, "." or ".."';
  if (segments.length > SKILL_PATH_SEGMENTS_MAX) return `must have at most ${SKILL_PATH_SEGMENTS_MAX} parts`;
  if (segments.some((segment) => Buffer.byteLength(segment) > SKILL_SEGMENT_BYTES_MAX))
    return `must not have a part of more than ${SKILL_SEGMENT_BYTES_MAX} bytes`;
  return null;
}

/** @throws ApiError when one of the paths leads out, is there twice, or would be a file and a directory at once */
export function checkPaths(paths: readonly string[]): void {
  const taken = new Set<string>();
  for (const path of paths) {
    const problem = describePathProblem(path);
    if (problem !== null) throw invalidRequest(`files: The path ${shown(path)} ${problem}`);
    if (taken.has(path)) throw invalidRequest(`files: The path ${shown(path)} is there twice`);
    taken.add(path);
  }
  for (const path of paths) {
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      if (taken.has(path.slice(0, end)))
        throw invalidRequest(`files: ${shown(path.slice(0, end))} is a file and a directory at once`);
    }
  }
}
