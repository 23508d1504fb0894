import { isUtf8 } from "node:buffer";
import {
  SKILL_DESCRIPTION_CHARS_MAX,
  type SkillFrontMatter,
  invalidRequest,
  parseRequest,
  skillFrontMatterSchema,
} from "@sandbox0/protocol";
import { YAMLError, parse } from "yaml";
import { z } from "zod";

const FRONT_MATTER = /^\uFEFF?---[ \t]*\r?\n([\s\S]*?)(?<=\n)---[ \t]*(?:\r?\n|$)/;
/** Copies that aliases of YAML may make of what stands once. */
const ALIASES_MAX = 100;
const FOUND_NAME = /^[a-z0-9][a-z0-9-]{0,63}$/;

/** Errors name the field as a client knows it. */
const schema = z.object({ "SKILL.md": skillFrontMatterSchema });

/**
 * What the front matter of a SKILL.md says. `directory` is the name of a skill that says none.
 * @throws ApiError that names the field and the rule
 */
export function readFrontMatter(bytes: Buffer, directory: string | null): SkillFrontMatter {
  const { name = directory ?? undefined, description } = readFields(bytes);
  return parseRequest(schema, { "SKILL.md": { name, description } })["SKILL.md"];
}

/**
 * The same of a SKILL.md that nobody uploaded: its directory is its name where its own cannot be one, and of a description
 * that is too long the beginning is taken.
 * @throws ApiError when it says nothing of itself
 */
export function readFoundFrontMatter(bytes: Buffer, directory: string): SkillFrontMatter {
  const { name, description } = readFields(bytes);
  const text = typeof description === "string" ? toLine(description) : "";
  if (text === "") throw invalidRequest("SKILL.md: The front matter must have a description");
  return {
    name: typeof name === "string" && FOUND_NAME.test(name) ? name : directory,
    description: cutLine(text, SKILL_DESCRIPTION_CHARS_MAX),
  };
}

/** On one line, whatever it was on. */
export const toLine = (text: string): string => text.replace(/[\s\p{Cc}\p{Cf}]+/gu, " ").trim();

/** @returns at most so many characters, and a sign where some are missing */
export function cutLine(text: string, charsMax: number): string {
  return text.length <= charsMax ? text : `${text.slice(0, charsMax - 1).toWellFormed()}\u2026`;
}

function readFields(bytes: Buffer): Record<string, unknown> {
  if (!isUtf8(bytes)) throw invalidRequest("SKILL.md: must be UTF-8 text");
  const yaml = FRONT_MATTER.exec(bytes.toString("utf8"))?.[1];
  if (yaml === undefined)
    throw invalidRequest("SKILL.md: must begin with YAML front matter, between two lines of ---, that has name and description");
  const fields: unknown = parseYaml(yaml);
  if (typeof fields !== "object" || fields === null || Array.isArray(fields))
    throw invalidRequest("SKILL.md: The front matter must be a YAML mapping");
  return fields as Record<string, unknown>;
}

function parseYaml(text: string): unknown {
  try {
    return parse(text, { maxAliasCount: ALIASES_MAX, logLevel: "error" });
  } catch (error) {
    // The second for too many aliases.
    if (error instanceof YAMLError || error instanceof ReferenceError)
      throw invalidRequest(`SKILL.md: The front matter is not valid YAML: ${error.message}`);
    throw error;
  }
}
