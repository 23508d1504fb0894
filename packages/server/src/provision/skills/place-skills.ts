import { createWriteStream } from "node:fs";
import { mkdir, readFile, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { ApiError } from "@sandbox0/protocol";
import { SandboxError, type Volume } from "@sandbox0/sandbox";
import type { Blobs } from "../../blobs/blobs.ts";
import { BlobMissing, BlobsUnavailable } from "../../blobs/port.ts";
import { unpackSkill } from "./unpack-skill.ts";

/** A skill that is to be in the volume. */
export interface PlacedSkill {
  name: string;
  /** In the sandbox. */
  directory: string;
  /** Of its archive. */
  sha256: string;
}

/** Of all skills of a session, unpacked: a tenth of what its disk may hold. */
const SESSION_SKILLS_BYTES_MAX = 1024 ** 3;

/** What a disk without room answers. */
const FULL = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

/** What the volume has, by directory; written when all of it is there. */
type Placed = Record<string, { sha256: string; bytes: number }>;

/** Skills in the volume, on the host. */
interface Places {
  /** What the sandbox sees. */
  skills: string;
  /** On the same file system, and not seen. */
  staged: string;
  record: string;
}

/**
 * Makes the volume's skills these and no others, each whole or not at all. Costs a look at each when nothing has changed.
 * @returns what is wrong with archives that could not be unpacked, by the skill's name; the others are there
 * @throws SandboxError when a skill cannot be had now, or all of them are too large
 */
export async function placeSkills(
  blobs: Blobs,
  volume: Volume,
  wanted: readonly PlacedSkill[],
  { signal, bytesMax = SESSION_SKILLS_BYTES_MAX }: { signal: AbortSignal; bytesMax?: number },
): Promise<Map<string, string>> {
  const places = {
    skills: join(volume.path, "skills"),
    staged: join(volume.path, "skills.staged"),
    record: join(volume.path, "skills.json"),
  };
  const before = await readPlaced(places);
  const problems = new Map<string, string>();
  if (isSame(before, wanted)) return problems;
  try {
    // What is there is not known until the end.
    await rm(places.record, { force: true });
    await rm(places.staged, { recursive: true, force: true });
    await mkdir(places.staged, { mode: 0o700 });
    await removeOthers(places, wanted);
    const placed: Placed = {};
    for (const skill of wanted) {
      const name = basename(skill.directory);
      const known = before[name];
      try {
        const bytes = known?.sha256 === skill.sha256 ? known.bytes : await place(blobs, places, skill, signal);
        placed[name] = { sha256: skill.sha256, bytes };
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        problems.set(skill.name, error.message);
        await rm(join(places.skills, name), { recursive: true, force: true });
      }
      checkTotal(placed, bytesMax);
    }
    await rm(places.staged, { recursive: true });
    // With a problem it is tried again the next time.
    if (problems.size === 0) await writeFile(places.record, JSON.stringify(placed));
    return problems;
  } catch (error) {
    signal.throwIfAborted();
    throw unavailable(error);
  }
}

function isSame(placed: Placed, wanted: readonly PlacedSkill[]): boolean {
  return (
    Object.keys(placed).length === wanted.length &&
    wanted.every(({ directory, sha256 }) => placed[basename(directory)]?.sha256 === sha256)
  );
}

/** Only what is still there counts: a restored volume may be without its skills. */
async function readPlaced({ record, skills }: Places): Promise<Placed> {
  const text = await readFile(record, "utf8").catch(unlessMissing);
  if (text === null) return {};
  const all = Object.entries(JSON.parse(text) as Placed);
  const there = await Promise.all(all.map(async ([name]) => (await stat(join(skills, name)).catch(unlessMissing)) !== null));
  return Object.fromEntries(all.filter((_, index) => there[index]));
}

async function removeOthers({ skills }: Places, wanted: readonly PlacedSkill[]): Promise<void> {
  const kept = new Set(wanted.map(({ directory }) => basename(directory)));
  for (const name of await readdir(skills)) if (!kept.has(name)) await rm(join(skills, name), { recursive: true, force: true });
}

/** Unpacks it where nobody sees it, and puts it in its place with one step. */
async function place(blobs: Blobs, { skills, staged }: Places, skill: PlacedSkill, signal: AbortSignal): Promise<number> {
  const name = basename(skill.directory);
  const [archive, fresh, old] = ["archive.zip", "fresh", "old"].map((each) => join(staged, each)) as [string, string, string];
  try {
    await pipeline(await blobs.open(skill.sha256), createWriteStream(archive), { signal });
    const bytes = await unpackSkill(archive, fresh, signal);
    await rename(join(skills, name), old).catch(unlessMissing);
    await rename(fresh, join(skills, name));
    return bytes;
  } finally {
    for (const path of [archive, fresh, old]) await rm(path, { recursive: true, force: true });
  }
}

function checkTotal(placed: Placed, bytesMax: number): void {
  const total = Object.values(placed).reduce((sum, { bytes }) => sum + bytes, 0);
  if (total > bytesMax) throw new SandboxError("limit", `the skills of the session have more than ${bytesMax} bytes`);
}

/** What is not a bug of ours: nothing runs in a sandbox that lacks what the model was told of. */
function unavailable(error: unknown): unknown {
  if (FULL.has((error as NodeJS.ErrnoException).code ?? ""))
    return new SandboxError("unavailable", "there is no room on the server's disk for the session's skills");
  if (error instanceof BlobsUnavailable || error instanceof BlobMissing)
    return new SandboxError("unavailable", "a skill of the session cannot be read from the store for files", { cause: error });
  return error;
}

function unlessMissing(error: NodeJS.ErrnoException): null {
  if (error.code === "ENOENT") return null;
  throw error;
}
