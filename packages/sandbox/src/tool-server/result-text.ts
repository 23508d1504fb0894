/** A longer result goes to a file, and the model gets a preview with its path (semantics §7). */
export const RESULT_CHARS_MAX = 100_000;
/** Of a preview, from the start and from the end. */
export const PREVIEW_HEAD_CHARS = 4_000;
export const PREVIEW_TAIL_CHARS = 4_000;

// biome-ignore lint/suspicious/noControlCharactersInRegex: terminal sequences begin with one
const ANSI = /\x1b\[[0-9;?]*[ -/]*[@-~]/g;

export interface SpilledResult {
  head: string;
  tail: string;
  /** Bytes the tool wrote. */
  bytes: number;
  /** Where the full text is; `null`: it could not be written. */
  path: string | null;
  /** The file holds only the start. */
  isCut: boolean;
}

export function previewText(result: SpilledResult): string {
  const where =
    result.path === null
      ? "The full output could not be saved (no space left?)."
      : result.isCut
        ? `The start of it was saved to ${result.path}; the rest was too long to keep.`
        : `The full output was saved to ${result.path}.`;
  return `${result.head}\n\n[output truncated: ${result.bytes} bytes in all. ${where}]\n\n${result.tail}`;
}

/** A text in memory that is longer than `RESULT_CHARS_MAX`. `path`: where all of it is; `null`: it could not be kept. */
export function cutText(text: string, path: string | null): string {
  const [head, tail] = [text.slice(0, PREVIEW_HEAD_CHARS), text.slice(-PREVIEW_TAIL_CHARS)];
  return previewText({ head, tail, bytes: Buffer.byteLength(text), path, isCut: false });
}

/** Without terminal colours and the newlines at the end, as the SDK's bash tool gives it. */
export function cleanOutput(text: string): string {
  const clean = text.replace(ANSI, "");
  // Not /\n+$/: with 100,000 newlines before a last character it takes 16 seconds, and commands choose their output.
  let end = clean.length;
  while (clean[end - 1] === "\n") end--;
  return clean.slice(0, end);
}
