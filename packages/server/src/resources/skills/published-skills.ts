import { createReadStream } from "node:fs";
import { readFile, readdir, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { type ApiError, invalidRequest } from "@sandbox0/protocol";
import type { SkillBundle } from "./skill-bundle.ts";
import { readFoundFrontMatter } from "./skill-front-matter.ts";
import { SKILL_BYTES_MAX, SKILL_FILES_MAX, SKILL_MD_BYTES_MAX } from "./skill-limits.ts";
import { checkPaths, shown } from "./skill-paths.ts";
import { type SkillFile, isJunk, tooLarge, tooManyFiles } from "./skill-zip.ts";

/** A skill of those that Anthropic publishes, as the operator has laid it down. */
export interface PublishedSkill {
  /** `xlsx`: also its name, and that of its directory. */
  id: string;
  /** The latest first; at least one. */
  versions: readonly [PublishedVersion, ...PublishedVersion[]];
}

export interface PublishedVersion {
  /** As Anthropic has them, a date: `20251013`. */
  version: string;
  createdAt: Date;
  directory: string;
}

/** The skills that an operator provides under the ids that Anthropic's have (`SANDBOX0_SKILLS_DIR`). */
export interface PublishedSkills {
  list(): Promise<PublishedSkill[]>;
  find(id: string): Promise<PublishedSkill | null>;
}

const PUBLISHED_MAX = 500;
const ID = /^[a-z0-9][a-z0-9-]{0,63}$/;
const VERSION = /^[a-z0-9][a-z0-9._-]{0,63}$/i;
const LATEST = "latest";
const SKILL_MD = "SKILL.md";
const ANY_EXECUTE = 0o111;

/**
 * A skill is a directory with the name of its id: the skill itself, or a directory for each version of it. What is neither is
 * not seen. Read anew each time, so that an operator can add one while the server runs.
 * @param root `null`: there are none
 */
export function createPublishedSkills(root: string | null): PublishedSkills {
  return {
    async list() {
      const ids = root === null ? [] : (await namesIn(root)).filter((name) => ID.test(name)).slice(0, PUBLISHED_MAX);
      const found = await Promise.all(ids.map((id) => find(join(root ?? "", id), id)));
      return found.filter((skill) => skill !== null);
    },
    find: async (id) => (root === null || !ID.test(id) ? null : find(join(root, id), id)),
  };
}

async function find(at: string, id: string): Promise<PublishedSkill | null> {
  const own = await writtenAt(at);
  if (own !== null) return { id, versions: [{ version: dateOf(own), createdAt: own, directory: at }] };
  const names = (await namesIn(at)).filter((name) => VERSION.test(name)).slice(-PUBLISHED_MAX);
  const found = await Promise.all(
    names.map(async (version) => ({ version, directory: join(at, version), createdAt: await writtenAt(join(at, version)) })),
  );
  const [latest, ...older] = found.flatMap(({ createdAt, ...rest }) => (createdAt ? [{ ...rest, createdAt }] : [])).reverse();
  return latest === undefined ? null : { id, versions: [latest, ...older] };
}

/** The version of that name, or the latest one. */
export function versionNamed({ versions }: PublishedSkill, name: string): PublishedVersion | undefined {
  return name === LATEST ? versions[0] : versions.find(({ version }) => version === name);
}

export const notOurs = (id: string): ApiError =>
  invalidRequest(`\`${id}\` is published by Anthropic: it cannot be changed here.`);

/** @throws ApiError when what is there is no skill */
export async function readPublished(id: string, { directory }: PublishedVersion): Promise<SkillBundle> {
  const files = await filesIn(directory);
  checkPaths(files.map(({ path }) => path));
  return { name: id, description: await describePublished(id, directory), files };
}

/** @throws ApiError */
export async function describePublished(id: string, directory: string): Promise<string> {
  const path = join(directory, SKILL_MD);
  if ((await stat(path)).size > SKILL_MD_BYTES_MAX)
    throw invalidRequest(`SKILL.md: must have at most ${SKILL_MD_BYTES_MAX} bytes`);
  return readFoundFrontMatter(await readFile(path), id).description;
}

async function filesIn(directory: string): Promise<SkillFile[]> {
  const files: SkillFile[] = [];
  let total = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const from = join(entry.parentPath, entry.name);
    const path = relative(directory, from);
    if (entry.isDirectory() || isJunk(path)) continue;
    if (!entry.isFile()) throw invalidRequest(`files: ${shown(path)} is neither a file nor a directory; links are not allowed`);
    const { size, mode } = await stat(from);
    total += size;
    if (total > SKILL_BYTES_MAX) throw tooLarge();
    if (files.length === SKILL_FILES_MAX) throw tooManyFiles();
    files.push({ path, executable: (mode & ANY_EXECUTE) !== 0, sizeBytes: size, open: async () => createReadStream(from) });
  }
  return files;
}

/** When its SKILL.md was written; `null`: there is none. */
async function writtenAt(directory: string): Promise<Date | null> {
  const found = await unlessMissing(stat(join(directory, SKILL_MD)));
  return found?.isFile() ? found.mtime : null;
}

async function namesIn(directory: string): Promise<string[]> {
  return ((await unlessMissing(readdir(directory))) ?? []).sort();
}

async function unlessMissing<T>(work: Promise<T>): Promise<T | null> {
  return work.catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return null;
    throw error;
  });
}

const dateOf = (time: Date): string => time.toISOString().slice(0, 10).replaceAll("-", "");
