import { z } from "zod";
import { enumParam, numberParam, textParam } from "./query.ts";

/** Skills and their versions (contract §12, semantics §12). */
export const SKILL_NAME_CHARS_MAX = 64;
export const SKILL_DESCRIPTION_CHARS_MAX = 1_024;
const DISPLAY_NAME_CHARS_MAX = 255;
const SKILLS_PAGE_SIZE_MAX = 100;
const VERSIONS_PAGE_SIZE_MAX = 1_000;

/** The name of a skill: also of its directory, wherever it is mounted or unpacked. */
const skillName = z
  .string()
  .min(1)
  .max(SKILL_NAME_CHARS_MAX)
  .regex(/^[a-z0-9][a-z0-9-]*$/, "must have lowercase letters, digits and hyphens only, and not begin with a hyphen")
  .refine((name) => !/anthropic|claude/.test(name), 'must not contain "anthropic" or "claude"');

/** What the front matter of a SKILL.md must say, once its name is taken from the directory where it says none. */
export const skillFrontMatterSchema = z.object({
  name: skillName,
  description: z
    .string()
    .trim()
    .min(1)
    .max(SKILL_DESCRIPTION_CHARS_MAX)
    .refine((text) => text.isWellFormed() && !text.includes("\0"), "must be valid Unicode without NUL characters"),
});
export type SkillFrontMatter = z.infer<typeof skillFrontMatterSchema>;

const displayName = z
  .string()
  .max(DISPLAY_NAME_CHARS_MAX)
  .regex(/^\P{Cc}*$/u, "must be a single line without control characters")
  .optional();
/** The text parts of an upload; an empty name is none. The second is what it was called before. */
export const skillCreateParamsSchema = z.object({ display_name: displayName, display_title: displayName });

export const skillListQuerySchema = z.object({
  source: enumParam(["custom", "anthropic"]),
  limit: numberParam(1, SKILLS_PAGE_SIZE_MAX),
  page: textParam,
});
export type SkillListQuery = z.infer<typeof skillListQuerySchema>;
export const skillVersionListQuerySchema = z.object({ limit: numberParam(1, VERSIONS_PAGE_SIZE_MAX), page: textParam });
export type SkillVersionListQuery = z.infer<typeof skillVersionListQuerySchema>;

export const skillInfoSchema = z.object({
  id: z.string(),
  type: z.literal("skill"),
  display_name: z.string(),
  latest_version_id: z.string(),
  source: z.object({ type: z.enum(["custom", "anthropic", "anthropic_example", "plugin"]) }),
  created_at: z.string(),
  updated_at: z.string(),
});
export type SkillInfo = z.infer<typeof skillInfoSchema>;

export const skillVersionInfoSchema = z.object({
  id: z.string(),
  type: z.literal("skill_version"),
  skill_id: z.string(),
  name: z.string(),
  description: z.string(),
  created_at: z.string(),
});
export type SkillVersionInfo = z.infer<typeof skillVersionInfoSchema>;

/** As they are shown under `anthropic-beta: skills-2025-10-02`. A version's number is the microsecond of its making. */
export const legacySkillInfoSchema = z.object({
  id: z.string(),
  type: z.literal("skill"),
  display_title: z.string().nullable(),
  latest_version: z.string().nullable(),
  source: z.string(),
  created_at: z.string(),
  updated_at: z.string(),
});
export type LegacySkillInfo = z.infer<typeof legacySkillInfoSchema>;
export const legacySkillVersionInfoSchema = skillVersionInfoSchema.extend({ directory: z.string(), version: z.string() });
export type LegacySkillVersionInfo = z.infer<typeof legacySkillVersionInfoSchema>;
