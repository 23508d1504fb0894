import { isUtf8 } from "node:buffer";
import { ApiError } from "@sandbox0/protocol";
import { type Sandbox, SandboxError } from "@sandbox0/sandbox";
import { readFoundFrontMatter } from "../../resources/skills/skill-front-matter.ts";
import type { GivenSkill } from "../../store/session-skills.ts";

/** Of one repository; the rest is not looked at. */
export const REPOSITORY_SKILLS_MAX = 500;
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

/** Exit status when there is no repository (yet). */
const NOT_THERE = 40;

/**
 * Prints, each behind a NUL: the name of every directory of `.claude/skills` that has a SKILL.md, and its beginning in
 * base64. Links are followed within the repository, and nowhere else; `-` says that one leads out.
 */
const SCRIPT = `
root=$(realpath -e -- "$1") && [[ -e $root/.git ]] || exit ${NOT_THERE}
cd -- "$root/.claude/skills" 2>/dev/null || exit 0
found=0
for entry in *; do
  file=$(realpath -e -- "$entry/SKILL.md" 2>/dev/null) || continue
  [[ -f $file ]] || continue
  printf '%s\\0' "$entry"
  case $file in
    "$root"/*) head -c "$2" -- "$file" | base64 -w 0; printf '\\0';;
    *) printf -- '-\\0';;
  esac
  found=$((found + 1))
  [[ $found -lt $3 ]] || break
done`;

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
  const parts = output.split("\0");
  const scan: Scan = { skills: [], problems: [] };
  for (let index = 0; index + 1 < parts.length; index += 2) {
    const [name = "", head = ""] = parts.slice(index, index + 2);
    const found = readHead(name, head);
    if (typeof found === "string") scan.problems.push(`${JSON.stringify(name.slice(0, 64))} ${found}`);
    else scan.skills.push({ name, given: { ...found, directory: `${repository}/.claude/skills/${name}`, sha256: null } });
  }
  return scan;
}

/** @returns what it says of itself, or what is wrong with it */
function readHead(name: string, head: string): Pick<GivenSkill, "name" | "description"> | string {
  if (!NAME.test(name)) return "has no name that can be shown";
  if (head === "-") return "is a link that leads out of the repository";
  try {
    return readFoundFrontMatter(wholeCharacters(Buffer.from(head, "base64")), name);
  } catch (error) {
    if (error instanceof ApiError) return `cannot be used: ${error.message}`;
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
  const child = await sandbox.exec(["/bin/bash", "--norc", "-c", SCRIPT, "bash", ...args], { signal, network: false });
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
