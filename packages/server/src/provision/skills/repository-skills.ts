import { isUtf8 } from "node:buffer";
import { ApiError } from "@sandbox0/protocol";
import { NODE_PATH, type Sandbox, SandboxError } from "@sandbox0/sandbox";
import { cutLine, readFoundFrontMatter, toLine } from "../../resources/skills/skill-front-matter.ts";
import type { GivenSkill } from "../../store/session-skills.ts";

/** Of one repository; the rest is not looked at. */
const REPOSITORY_SKILLS_MAX = 500;
/** Of a SKILL.md, from its beginning: its front matter must be in it. */
const HEAD_BYTES_MAX = 16 * 1024;
/** All heads in base64, with their names. */
const OUTPUT_BYTES_MAX = REPOSITORY_SKILLS_MAX * (HEAD_BYTES_MAX * 1.5 + 512);
const SCAN_MS = 30_000;
/** Characters of an utf-8 text that may be cut at its end. */
const CUT_BYTES_MAX = 3;
const NAME = /^[^\p{Cc}\p{Cf}\s/]{1,128}$/u;

export interface ScannedSkill {
  /** Its directory in `.claude/skills`. */
  name: string;
  given: GivenSkill;
}

export interface Scan {
  skills: ScannedSkill[];
  /** What looks like a skill and is none, a sentence each. */
  problems: string[];
}

/** Of what is wrong with one: the reader of YAML quotes what it could not read. */
const PROBLEM_CHARS_MAX = 200;
/** Exit status when there is no repository (yet). */
const NOT_THERE = 40;

/** Of each directory of `.claude/skills` that has a SKILL.md: its name, and the file's beginning in base64. */
type Head = [name: string, head: string | null];

/**
 * Prints them. Links are followed within the repository, and nowhere else: `null` says that one leads out. By Node, which the
 * sandbox has: a shell would start four programs for each.
 */
const SCRIPT = `
const { closeSync, constants, existsSync, openSync, readSync, readdirSync, realpathSync, statSync } = require("node:fs");
const [repository, bytesMax, countMax] = process.argv.slice(1);
const attempt = (work) => { try { return work(); } catch { return null; } };
const root = attempt(() => realpathSync(repository));
if (root === null || !existsSync(root + "/.git")) process.exit(${NOT_THERE});
const found = [];
for (const name of attempt(() => readdirSync(root + "/.claude/skills").sort()) ?? []) {
  const file = name.startsWith(".") ? null : attempt(() => realpathSync(root + "/.claude/skills/" + name + "/SKILL.md"));
  if (file === null || !statSync(file).isFile()) continue;
  found.push([name, file.startsWith(root + "/") ? attempt(() => headOf(file)) : null]);
  if (found.length === Number(countMax)) break;
}
process.stdout.write(JSON.stringify(found));
function headOf(file) {
  const head = Buffer.alloc(Number(bytesMax));
  const fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  const length = readSync(fd, head, 0, head.length, 0);
  closeSync(fd);
  return head.toString("base64", 0, length);
}`;

/**
 * The skills that a repository in the sandbox brings: \`.claude/skills/<name>/SKILL.md\`, exactly one level deep. Looked for
 * in the sandbox, where a link that a session has laid leads to nothing but what the session sees anyway. `null`: there is no
 * repository.
 * @throws SandboxError when the sandbox has ended meanwhile
 */
export async function scanRepository(sandbox: Sandbox, repository: string, signal: AbortSignal): Promise<Scan | null> {
  const late = AbortSignal.timeout(SCAN_MS);
  const { code, output } = await run(sandbox, repository, AbortSignal.any([signal, late]));
  if (code === NOT_THERE) return null;
  if (code !== 0) {
    if (!late.aborted || signal.aborted) throw new SandboxError("unavailable", "it ended while skills were looked for");
    return { skills: [], problems: [`they could not be read within ${SCAN_MS / 1_000} seconds`] };
  }
  const scan: Scan = { skills: [], problems: [] };
  for (const [name, head] of JSON.parse(output) as Head[]) {
    const found = readHead(name, head);
    if (typeof found === "string") scan.problems.push(`${JSON.stringify(name.slice(0, 64))} ${found}`);
    else scan.skills.push({ name, given: { ...found, directory: `${repository}/.claude/skills/${name}`, sha256: null } });
  }
  return scan;
}

/** @returns what it says of itself, or what is wrong with it */
function readHead(name: string, head: string | null): Pick<GivenSkill, "name" | "description"> | string {
  if (!NAME.test(name)) return "has no name that can be shown";
  if (head === null) return "is a link that leads out of the repository";
  try {
    return readFoundFrontMatter(wholeCharacters(Buffer.from(head, "base64")), name);
  } catch (error) {
    if (error instanceof ApiError) return `cannot be used: ${cutLine(toLine(error.message), PROBLEM_CHARS_MAX)}`;
    throw error;
  }
}

function wholeCharacters(bytes: Buffer): Buffer {
  if (bytes.length < HEAD_BYTES_MAX) return bytes;
  const ends = Array.from({ length: CUT_BYTES_MAX + 1 }, (_, cut) => bytes.subarray(0, bytes.length - cut));
  return ends.find((each) => isUtf8(each)) ?? bytes;
}

async function run(sandbox: Sandbox, repository: string, signal: AbortSignal): Promise<{ code: number | null; output: string }> {
  const args = [repository, String(HEAD_BYTES_MAX), String(REPOSITORY_SKILLS_MAX)];
  const child = await sandbox.exec([NODE_PATH, "-e", SCRIPT, ...args], { signal, network: false });
  child.stdin.end();
  child.stderr.resume();
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of child.stdout) {
    total += chunk.length;
    if (total > OUTPUT_BYTES_MAX) child.kill("SIGKILL");
    else chunks.push(chunk as Buffer);
  }
  const { code } = await child.exited;
  return { code, output: Buffer.concat(chunks).toString("utf8") };
}
