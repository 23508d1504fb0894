import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { NODE_PATH, WORKSPACE_DIR } from "../../layout.ts";
import { type Sandbox, SandboxError, type SandboxLimits, type SandboxMount, type SandboxProcess } from "../../port.ts";
import type { ImageFacts } from "./finish-root.ts";
import { parseFacts } from "./image-files.ts";
import { UNPACKER_NAME } from "./image-tools.ts";
import type { ImageBounds } from "./unpack-image.ts";

const GIB = 1024 ** 3;
export const IMAGE_BOUNDS: ImageBounds = { bytesMax: 8 * GIB, entriesMax: 500_000 };
/** Of the sandbox that unpacks one: the archive and its files lie there together. */
export const UNPACK_LIMITS: SandboxLimits = {
  memoryBytesMax: 1 * GIB,
  processesMax: 64,
  diskBytesMax: 18 * GIB,
  openFilesMax: 256,
  cpuCoresMax: 2,
};
const UNPACK_MS_MAX = 20 * 60_000;
/** In that sandbox. */
const TOOLS_AT = "/mnt/image-tools";
const FACTS_CHARS_MAX = 256 * 1024;
const LINE_CHARS_MAX = 1000;
/** Go's words. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

export interface UnpackRun {
  archive: AsyncIterable<Uint8Array>;
  bounds: ImageBounds;
  signal: AbortSignal | undefined;
  onProgress(line: string): void;
}

export const toolsMount = (toolsDir: string): SandboxMount => ({ source: toolsDir, at: TOOLS_AT, writable: false });

/** What this server's images are for, in Go's words. */
export const imageArchitecture = (): string => ARCHITECTURES[process.arch] ?? process.arch;

/**
 * Unpacks an archive into `root/` of the sandbox's workspace: whatever the archive is made to do, it does there.
 * @param sandbox with `toolsMount`
 * @throws SandboxError `unavailable` for what is no image that sandboxes here can have; what the archive's reader throws; the
 *   signal's reason
 */
export async function runUnpacker(sandbox: Sandbox, { archive, bounds, signal, onProgress }: UnpackRun): Promise<ImageFacts> {
  const time = AbortSignal.timeout(UNPACK_MS_MAX);
  const command = [NODE_PATH, `${TOOLS_AT}/${UNPACKER_NAME}`, WORKSPACE_DIR, imageArchitecture(), JSON.stringify(bounds)];
  const child = await sandbox.exec(command, { signal: signal === undefined ? time : AbortSignal.any([signal, time]) });
  const facts = collect(child.stdout as Readable);
  const complaint = readLines(child.stderr as Readable, onProgress);
  const feeding = feed(archive, child);
  const { code, killedBy } = await child.exited;
  const failure = await feeding;
  signal?.throwIfAborted();
  if (failure !== null) throw failure.error;
  if (time.aborted) throw refused(`it was not unpacked after ${UNPACK_MS_MAX / 60_000} minutes`);
  if (killedBy !== undefined) throw refused(`unpacking it took more ${killedBy} than it may`);
  if (code !== 0) throw refused((await complaint) || `status ${code}`);
  return parseFacts(await facts);
}

function refused(why: string): SandboxError {
  return new SandboxError("unavailable", `the image cannot be used: ${why}`);
}

/** Until the process has ended, which may be before it has read everything. @returns what reading the archive threw */
async function feed(archive: AsyncIterable<Uint8Array>, child: SandboxProcess): Promise<{ error: unknown } | null> {
  const source = archive[Symbol.asyncIterator]();
  const { stdin, exited } = child;
  const ended = exited.then(() => null);
  try {
    for (;;) {
      const next = await Promise.race([source.next(), ended]);
      if (next === null || next.done === true) break;
      if (!stdin.write(next.value)) await Promise.race([new Promise((resolve) => stdin.once("drain", resolve)), ended]);
    }
    stdin.end();
    return null;
  } catch (error) {
    child.kill("SIGKILL");
    return { error };
  } finally {
    // What is left of it nobody reads, and whether it could be closed is nothing to wait for.
    source.return?.().catch(() => undefined);
  }
}

async function collect(stream: Readable): Promise<string> {
  let text = "";
  for await (const chunk of stream.setEncoding("utf8")) if (text.length < FACTS_CHARS_MAX) text += chunk as string;
  return text;
}

/** @returns the last one */
async function readLines(stream: Readable, onLine: (line: string) => void): Promise<string> {
  let last = "";
  for await (const line of createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })) {
    last = line.slice(0, LINE_CHARS_MAX);
    onLine(last);
  }
  return last;
}
