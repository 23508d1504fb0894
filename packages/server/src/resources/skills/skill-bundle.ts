import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { type SkillFrontMatter, invalidRequest } from "@sandbox0/protocol";
import { readFrontMatter } from "./skill-front-matter.ts";
import { SKILL_MD_BYTES_MAX } from "./skill-limits.ts";
import { checkPaths } from "./skill-paths.ts";
import { type SkillFile, isZip, readZip } from "./skill-zip.ts";

const SKILL_MD = "SKILL.md";

/** A file as a client sent it. */
export interface UploadedFile {
  /** With its directory: `my-skill/SKILL.md`. */
  filename: string;
  content: Buffer;
}

/** What a skill is made of; nothing of it leads out of its directory. */
export interface SkillBundle extends SkillFrontMatter {
  files: SkillFile[];
}

/**
 * The skill of an upload: files of one directory, or one zip archive with or without it.
 * @throws ApiError for everything that is wrong with it, but for contents of an archive that are not what it promises: those
 * fail when they are read
 */
export async function readBundle(uploads: readonly UploadedFile[]): Promise<SkillBundle> {
  const [first] = uploads;
  if (!first) throw invalidRequest("files: Field required: the files of a skill, or one zip archive of them");
  const isArchive = uploads.length === 1 && (isZip(first.content) || /^[^/]*\.(zip|skill)$/i.test(first.filename));
  const all = isArchive ? await readZip(first.content) : uploads.map(fileOf);
  checkPaths(all.map(({ path }) => path));
  const { directory, files } = unwrap(all, { bareAllowed: isArchive });
  const skillFile = files.find(({ path }) => path === SKILL_MD);
  if (!skillFile) throw noSkillFile();
  if (skillFile.sizeBytes > SKILL_MD_BYTES_MAX) throw invalidRequest(`SKILL.md: must have at most ${SKILL_MD_BYTES_MAX} bytes`);
  return { ...readFrontMatter(await buffer(await skillFile.open()), directory), files };
}

/** As the official service has it. */
const noSkillFile = () => invalidRequest("files: SKILL.md must be exactly in the top-level folder");

function fileOf({ filename, content }: UploadedFile): SkillFile {
  return { path: filename, executable: false, sizeBytes: content.length, open: async () => Readable.from([content]) };
}

/** Takes the files out of the one directory that they are in. */
function unwrap(files: SkillFile[], { bareAllowed }: { bareAllowed: boolean }): { directory: string | null; files: SkillFile[] } {
  if (bareAllowed && files.some(({ path }) => path === SKILL_MD)) return { directory: null, files };
  const directory = files[0]?.path.split("/")[0] ?? "";
  const prefix = `${directory}/`;
  if (!files.every(({ path }) => path.startsWith(prefix))) {
    if (files.some(({ path }) => !path.includes("/"))) throw noSkillFile();
    throw invalidRequest("files: All files must be in the same top-level folder");
  }
  return { directory, files: files.map((file) => ({ ...file, path: file.path.slice(prefix.length) })) };
}
