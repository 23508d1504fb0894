import { cutLine, toLine } from "../../resources/skills/skill-front-matter.ts";
import type { GivenSkill } from "../../store/session-skills.ts";

/** Skills that a session's prompt names (semantics §12). */
const SKILLS_SHOWN_MAX = 500;
/** Of all descriptions together: with very many skills each is cut. */
const DESCRIPTIONS_CHARS_MAX = 100_000;

const HEAD = [
  "You have skills: directories with instructions and files for certain kinds of tasks. When a task is of such a kind, first read",
  "the SKILL.md of the skill with the read tool, and do as it says; paths in it are relative to its directory. Each is listed",
  "with its name, its SKILL.md, and what its author says that it is for.",
].join(" ");

/** What the model is told of its skills; the skills themselves it reads when it needs them. `null`: there are none. */
export function skillsNote(skills: readonly GivenSkill[]): string | null {
  if (skills.length === 0) return null;
  const shown = skills.slice(0, SKILLS_SHOWN_MAX);
  const charsMax = Math.floor(DESCRIPTIONS_CHARS_MAX / shown.length);
  const lines = shown.map(
    ({ name, directory, description }) => `- ${name} (${directory}/SKILL.md): ${cutLine(toLine(description), charsMax)}`,
  );
  return [HEAD, ...lines].join("\n");
}
