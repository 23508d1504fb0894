/** Where a memory is in its store (contract §10): `/notes/todo.md`. */
export const MEMORY_PATH_BYTES_MAX = 1_024;
export const MEMORY_PATH_SEGMENTS_MAX = 20;
/** The official worker's own file in the directory of a store: a memory of that name would replace it. */
const RESERVED_SEGMENT = ".anthropic-memory-store";

/** Control and format characters, line and paragraph separators, halves of surrogate pairs. */
const FORBIDDEN_CHARS = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

/** What is wrong with the path of a memory; `null` when nothing is. */
export function describeMemoryPathProblem(path: string): string | null {
  const problem = describeTextProblem(path);
  if (problem !== null) return problem;
  const segments = path.slice(1).split("/");
  if (segments.includes("")) return "must not have an empty segment";
  if (segments.includes(".") || segments.includes("..")) return 'must not have "." or ".." as a segment';
  if (segments.length > MEMORY_PATH_SEGMENTS_MAX) return `must have at most ${MEMORY_PATH_SEGMENTS_MAX} segments`;
  return segments[0] === RESERVED_SEGMENT ? `must not begin with /${RESERVED_SEGMENT}, which is reserved` : null;
}

/** What is wrong with a `path_prefix`, which is whole segments: `/` or `/notes/`. */
export function describePathPrefixProblem(prefix: string): string | null {
  return describeTextProblem(prefix) ?? (prefix.endsWith("/") ? null : 'must end with "/"');
}

function describeTextProblem(path: string): string | null {
  if (!path.startsWith("/")) return 'must start with "/"';
  if (path.length > MEMORY_PATH_BYTES_MAX || new TextEncoder().encode(path).length > MEMORY_PATH_BYTES_MAX)
    return `must have at most ${MEMORY_PATH_BYTES_MAX} bytes`;
  if (FORBIDDEN_CHARS.test(path)) return "must not contain control characters, format characters or line separators";
  return path === path.normalize("NFC") ? null : "must be in Unicode Normalization Form C";
}
