import type { Requirements } from "./requirement.ts";

/** Skills and their versions. */
export const SKILLS = {
  "skills.lifecycle": [
    "contract §12",
    "Create, retrieve, list newest first, delete with all versions; display_name is the front matter's name unless given.",
  ],
  "skills.versions": [
    "contract §12",
    "A version is a whole snapshot of the same name; `latest` is the last one; listed newest first; the last one cannot be deleted.",
    "skill-last-version",
  ],
  "skills.download": ["contract §12", "A zip archive of one directory, of the skill's name, with the files as they were."],
  "skills.zip": [
    "semantics §12",
    "One zip archive in place of files, SKILL.md at its root or in one top folder; what may be executed stays so.",
    "skill-archives",
  ],
  "skills.top-folder": ["contract §12", "All files in one top folder, with SKILL.md in it: else the observed error."],
  "skills.front-matter": [
    "semantics §12",
    "name of up to 64 of a-z, 0-9 and hyphens without anthropic and claude, else the directory's; description of up to 1,024.",
  ],
  "skills.limits": ["semantics §12", "Up to 30 MB, packed and unpacked; nothing is left of what is refused.", "skill-limits"],
  "skills.hostile": [
    "issue 5",
    "Paths that lead out, links, encryption, bombs, broken archives, too many files: a clear error, nothing half-stored.",
  ],
  "skills.isolation": ["contract §1.1", "The ids of another workspace answer like unknown ones."],
  "skills.legacy": [
    "contract §12",
    "Under skills-2025-10-02: display_title, versions by number, has_more; a skill with versions is not deleted.",
    "skill-last-version",
  ],
  "skills.in-session": [
    "semantics §12",
    "A skill is in the sandbox, read-only; the prompt has its name, description and path, and the model reads the rest.",
    "skill-directory",
  ],
  "skills.late-bound": ["semantics §12", "Which version is decided when the session first runs; it keeps it.", "skills-pinned"],
  "skills.missing": ["issue 5", "A skill that is not there is a stated error of the session, which goes on.", "skill-missing"],
  "skills.needs-read": ["semantics §12", "Skills need the read tool: without it none is announced."],
  "skills.published": [
    "contract §12",
    "Ids of skills that Anthropic publishes work when the operator provides them; the list shows them as such.",
    "skills-published",
  ],
  "skills.worker": ["contract §P2.8", "The official worker's own code unpacks a download."],
} as const satisfies Requirements;
