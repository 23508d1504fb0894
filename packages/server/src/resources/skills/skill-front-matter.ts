import { isUtf8 } from "node:buffer";
import { type SkillFrontMatter, invalidRequest, parseRequest, skillFrontMatterSchema } from "@sandbox0/protocol";
import { YAMLError, parse } from "yaml";
import { z } from "zod";

const FRONT_MATTER = /^\uFEFF?---[ \t]*\r?\n([\s\S]*?)(?<=\n)---[ \t]*(?:\r?\n|$)/;
/** Copies that aliases of YAML may make of what stands once. */
const ALIASES_MAX = 100;

/** Errors name the field as a client knows it. */
const schema = z.object({ "SKILL.md": skillFrontMatterSchema });

/**
 * What the front matter of a SKILL.md says. `directory` is the name of a skill that says none.
 * @throws ApiError that names the field and the rule
 */
export function readFrontMatter(bytes: Buffer, directory: string | null): SkillFrontMatter {
  if (!isUtf8(bytes)) throw invalidRequest("SKILL.md: must be UTF-8 text");
  const yaml = FRONT_MATTER.exec(bytes.toString("utf8"))?.[1];
  if (yaml === undefined)
    throw invalidRequest("SKILL.md: must begin with YAML front matter, between two lines of ---, that has name and description");
  const fields: unknown = parseYaml(yaml);
  if (typeof fields !== "object" || fields === null || Array.isArray(fields))
    throw invalidRequest("SKILL.md: The front matter must be a YAML mapping");
  const { name = directory ?? undefined, description } = fields as Record<string, unknown>;
  return parseRequest(schema, { "SKILL.md": { name, description } })["SKILL.md"];
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
