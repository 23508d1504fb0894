import { Readable } from "node:stream";
import { crc32 } from "node:zlib";
import { ApiError, invalidRequest } from "@sandbox0/protocol";
import { type Entry, type ZipFile, fromBufferPromise, openPromise } from "yauzl";
import { ZipFile as ZipWriter } from "yazl";
import { SKILL_BYTES_MAX, SKILL_FILES_MAX } from "./skill-limits.ts";
import { shown } from "./skill-paths.ts";

/** A file of a skill. */
export interface SkillFile {
  /** Within the skill, as in `scripts/run.py`. */
  path: string;
  executable: boolean;
  sizeBytes: number;
  /** Its content; fails when an archive does not hold what it promises. */
  open(): Promise<Readable>;
}

const FILE_TYPE = 0xf000;
const REGULAR = 0x8000;
const DIRECTORY = 0x4000;
const ANY_EXECUTE = 0o111;
/** The same for all: what is in an archive, not when it was packed, says what it is. */
const MTIME = new Date(Date.UTC(1980, 0, 2));

export const tooLarge = (): ApiError =>
  new ApiError("request_too_large", `files: A skill must not have more than ${SKILL_BYTES_MAX} bytes`);
export const tooManyFiles = (): ApiError => invalidRequest(`files: A skill must not have more than ${SKILL_FILES_MAX} files`);

export function isZip(bytes: Buffer): boolean {
  return bytes.length >= 4 && bytes.readUInt32BE(0) === 0x504b0304;
}

/**
 * The files of a zip archive, without what macOS adds. Nothing is unpacked before a file is opened; the sizes are those that
 * the archive promises, and reading a file holds it to them.
 * @throws ApiError for an archive that is broken, encrypted or too large, or has links or devices
 */
export async function readZip(bytes: Buffer): Promise<SkillFile[]> {
  return filesOf(await fromBufferPromise(bytes, { lazyEntries: true }).catch(refuse));
}

/** The same of an archive on disk, which is not held in memory. Its files can be opened until it is closed. @throws ApiError */
export async function openZip(path: string): Promise<{ files: SkillFile[]; close(): void }> {
  const zip = await openPromise(path, { lazyEntries: true, autoClose: false }).catch(refuse);
  try {
    return { files: await filesOf(zip), close: () => zip.close() };
  } catch (error) {
    zip.close();
    throw error;
  }
}

async function filesOf(zip: ZipFile): Promise<SkillFile[]> {
  try {
    // Directories count too, and so does what is left out below.
    if (zip.entryCount > 2 * SKILL_FILES_MAX) throw tooManyFiles();
    const files: SkillFile[] = [];
    let total = 0;
    for await (const entry of zip.eachEntry()) {
      const { fileName } = entry;
      checkEntry(entry);
      if (fileName.endsWith("/") || isJunk(fileName)) continue;
      total += entry.uncompressedSize;
      if (total > SKILL_BYTES_MAX) throw tooLarge();
      if (files.length === SKILL_FILES_MAX) throw tooManyFiles();
      const executable = (modeOf(entry) & ANY_EXECUTE) !== 0;
      files.push({ path: fileName, executable, sizeBytes: entry.uncompressedSize, open: () => openEntry(zip, entry) });
    }
    return files;
  } catch (error) {
    return refuse(error);
  }
}

function refuse(error: unknown): never {
  throw error instanceof ApiError ? error : brokenZip(error);
}

/** The library's errors have no type: whatever it says, the archive is not a good one. */
function brokenZip(error: unknown): ApiError {
  return invalidRequest(`files: The zip archive cannot be read: ${error instanceof Error ? error.message : String(error)}`);
}

/** As Unix has it; 0 when the archive was made elsewhere. */
const modeOf = (entry: Entry): number => entry.externalFileAttributes >>> 16;

export function isJunk(path: string): boolean {
  return path.startsWith("__MACOSX/") || path.split("/").at(-1) === ".DS_Store";
}

function checkEntry(entry: Entry): void {
  const type = modeOf(entry) & FILE_TYPE;
  if (type !== 0 && type !== REGULAR && type !== DIRECTORY)
    throw invalidRequest(`files: ${shown(entry.fileName)} is neither a file nor a directory; links are not allowed`);
  if (entry.isEncrypted()) throw invalidRequest(`files: ${shown(entry.fileName)} is encrypted`);
  if (!entry.canDecodeFileData())
    throw invalidRequest(`files: ${shown(entry.fileName)} is compressed with an unsupported method`);
}

async function openEntry(zip: ZipFile, entry: Entry): Promise<Readable> {
  return Readable.from(readEntry(zip, entry), { objectMode: false });
}

/** @throws ApiError when it is not what the archive promises */
async function* readEntry(zip: ZipFile, entry: Entry): AsyncGenerator<Uint8Array, void, undefined> {
  let crc = 0;
  try {
    for await (const chunk of await zip.openReadStreamPromise(entry)) {
      crc = crc32(chunk as Uint8Array, crc);
      yield chunk as Uint8Array;
    }
  } catch (error) {
    throw brokenZip(error);
  }
  if (crc !== entry.crc32) throw brokenZip(new Error(`${shown(entry.fileName)} has another checksum`));
}

/** The files as a zip archive in one directory, packed while it is read. Fails when one of the files does. */
export async function* writeZip(directory: string, files: readonly SkillFile[]): AsyncGenerator<Uint8Array, void, undefined> {
  const zip = new ZipWriter();
  const output = zip.outputStream as Readable;
  // The library stops at an error, without a word to whoever reads; of those of the files it does not even hear.
  const fail = (error: unknown): void => void output.destroy(error instanceof Error ? error : new Error(String(error)));
  zip.on("error", fail);
  for (const file of [...files].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    const options = { mtime: MTIME, mode: file.executable ? 0o100755 : 0o100644 };
    zip.addReadStreamLazy(`${directory}/${file.path}`, options, (read) => {
      file.open().then((stream) => read(null, stream.on("error", fail)), fail);
    });
  }
  zip.end();
  for await (const chunk of output) yield chunk as Uint8Array;
}
