/** Characters of a process's complaint that go into an error. */
const COMPLAINT_CHARS_MAX = 500;

/**
 * Reads a stream to its end and keeps only the start: what a process that did not come up said about it.
 * @returns what came so far
 */
export function collectStart(stream: NodeJS.ReadableStream): () => string {
  let text = "";
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
    if (text.length < COMPLAINT_CHARS_MAX) text = (text + chunk).slice(0, COMPLAINT_CHARS_MAX);
  });
  return () => text.trim();
}
