import { RUNTIME_DIR } from "../../layout.ts";

/** In sandboxes with an image: the host's own dynamic loader. */
export const LOADER_PATH = `${RUNTIME_DIR}/ld`;
/** Means the directory that a program is in. */
const OWN_DIR = "$ORIGIN";

const ELF_64_LITTLE = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
const [HEADERS_AT, HEADER_SIZE_AT, HEADER_COUNT_AT] = [32, 54, 56] as const;
const HEADER_BYTES = 64;
const [SEGMENT_DYNAMIC, SEGMENT_LOADER] = [2, 3] as const;
const [TAG_END, TAG_STRINGS, TAG_LIBRARY_DIRS, TAG_DEBUG] = [0n, 5n, 15n, 21n] as const;
const DYNAMIC_ENTRY_BYTES = 16;

interface Segment {
  offset: number;
  address: bigint;
  size: number;
}

/**
 * Makes a program of the host run in an image, whatever is in there: it is loaded by `LOADER_PATH`, with the libraries that are
 * in its own directory. Nothing in the file moves: the name of the loader and that of the directory take the place of the longer
 * name that was there, and the directory's entry that of one for debuggers. (A loader that is given the program as an argument,
 * or a variable with the libraries' place, would do for one program, and spoil all that it starts.)
 * @param program an ELF file for 64 bits, which is changed
 * @returns the loader that it had; `null`: it needs none, and is as it was
 * @throws Error for a file that has no place for it
 */
export function useOwnLoader(program: Buffer): string | null {
  if (!program.subarray(0, ELF_64_LITTLE.length).equals(ELF_64_LITTLE)) throw new Error("it is no program for this machine");
  const segments = segmentsOf(program);
  const loader = segments.get(SEGMENT_LOADER);
  const dynamic = segments.get(SEGMENT_DYNAMIC);
  if (loader === undefined || dynamic === undefined) return null;
  const before = program.toString("latin1", loader.offset, loader.offset + loader.size).replace(/\0.*$/s, "");
  const names = `${LOADER_PATH}\0${OWN_DIR}\0`;
  const entries = dynamicEntries(program, dynamic);
  const [strings, spare] = [entries.get(TAG_STRINGS), entries.get(TAG_DEBUG)];
  if (names.length > loader.size || strings === undefined || spare === undefined)
    throw new Error("it has no place for another loader");
  program.fill(0, loader.offset, loader.offset + loader.size);
  program.write(names, loader.offset, "latin1");
  // Counted from where the strings are, and that is behind it: the sum wraps, as the loader's own does.
  const at = loader.address + BigInt(LOADER_PATH.length + 1) - program.readBigUInt64LE(strings + 8);
  program.writeBigUInt64LE(TAG_LIBRARY_DIRS, spare);
  program.writeBigUInt64LE(BigInt.asUintN(64, at), spare + 8);
  return before;
}

/** @param start of a file, in which its headers are */
export function hasLoader(start: Buffer): boolean {
  if (start.length < HEADER_BYTES || !start.subarray(0, ELF_64_LITTLE.length).equals(ELF_64_LITTLE)) return false;
  const end =
    Number(start.readBigUInt64LE(HEADERS_AT)) + start.readUInt16LE(HEADER_SIZE_AT) * start.readUInt16LE(HEADER_COUNT_AT);
  return end <= start.length && segmentsOf(start).has(SEGMENT_LOADER);
}

function segmentsOf(program: Buffer): Map<number, Segment> {
  const first = Number(program.readBigUInt64LE(HEADERS_AT));
  const size = program.readUInt16LE(HEADER_SIZE_AT);
  const found = new Map<number, Segment>();
  for (let index = 0; index < program.readUInt16LE(HEADER_COUNT_AT); index++) {
    const at = first + index * size;
    found.set(program.readUInt32LE(at), {
      offset: Number(program.readBigUInt64LE(at + 8)),
      address: program.readBigUInt64LE(at + 16),
      size: Number(program.readBigUInt64LE(at + 32)),
    });
  }
  return found;
}

/** By their tags: where they are in the file. */
function dynamicEntries(program: Buffer, { offset, size }: Segment): Map<bigint, number> {
  const found = new Map<bigint, number>();
  for (let at = offset; at < offset + size; at += DYNAMIC_ENTRY_BYTES) {
    const tag = program.readBigUInt64LE(at);
    if (tag === TAG_END) break;
    found.set(tag, at);
  }
  return found;
}
