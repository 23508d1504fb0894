import { createId } from "@sandbox0/protocol";
import type { Blobs } from "../../blobs/blobs.ts";
import type { BlobRef } from "../../blobs/port.ts";
import type { SkillVersionRecord } from "../../store/skills.ts";
import type { SkillBundle } from "./skill-bundle.ts";
import { SKILL_BYTES_MAX, SKILL_FILES_MAX, SKILL_PATH_BYTES_MAX } from "./skill-limits.ts";
import { writeZip } from "./skill-zip.ts";

/** What cannot be compressed, and twice the path and the headers of each file. */
const ARCHIVE_BYTES_MAX = SKILL_BYTES_MAX + SKILL_FILES_MAX * 2 * (SKILL_PATH_BYTES_MAX + 256);
const MICROSECONDS_PER_MS = 1_000;

/** Packs a skill into a blob: everything under a directory of its name. @throws ApiError when an archive is broken */
export function storeBundle(blobs: Blobs, bundle: SkillBundle): Promise<BlobRef> {
  return blobs.put(writeZip(bundle.name, bundle.files), { bytesMax: ARCHIVE_BYTES_MAX });
}

/** `previous`: the number of the version before. */
export function newVersion(
  skillId: string,
  { description }: SkillBundle,
  { sha256, sizeBytes }: BlobRef,
  now: Date,
  previous: number | null,
): SkillVersionRecord {
  const number = Math.max(now.getTime() * MICROSECONDS_PER_MS, (previous ?? 0) + 1);
  return { id: createId("skillVersion"), skillId, number, description, sha256, sizeBytes, createdAt: now };
}
