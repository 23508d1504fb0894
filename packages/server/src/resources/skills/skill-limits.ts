/** Of all files of a skill, unpacked, and of the archive they come in (semantics §12). */
export const SKILL_BYTES_MAX = 30 * 1024 * 1024;
export const SKILL_FILES_MAX = 2_000;
/** Of `SKILL.md`, which is read whole. */
export const SKILL_MD_BYTES_MAX = 1024 * 1024;
export const SKILL_PATH_BYTES_MAX = 1_024;
export const SKILL_PATH_SEGMENTS_MAX = 32;
/** What file systems have for one name. */
export const SKILL_SEGMENT_BYTES_MAX = 255;
