import { APIError } from "@anthropic-ai/sdk";
import { problemText } from "../api/problem.ts";

/** What a server refused, by the fields of a form. */
export interface FieldProblems {
  /** By the name of the field that the request has it in. */
  fields: Readonly<Record<string, string>>;
  /** What belongs to none of them; `null`: nothing. */
  rest: string | null;
}

const NOTHING: FieldProblems = { fields: {}, rest: null };
/** Of an empty text where there must be one, as the schemas say it. */
const EMPTY = /^(?:Too small: expected string to have >=1 characters|Field required)$/;
/** `tools[0].name: must be …`: how the API's messages begin (contract §1.7). */
const PROBLEM = /^([A-Za-z_][\w.[\]-]*): (.+)$/s;

/**
 * Splits the server's sentence, `name: Field required; config.networking: …`, and gives each part to the field of the form it is
 * about. `fields` are names or paths; the longest one that fits counts.
 */
export function fieldProblems(error: unknown, fields: readonly string[]): FieldProblems {
  if (error === null || error === undefined) return NOTHING;
  const text = problemText(error);
  if (!(error instanceof APIError) || error.status !== 400) return { fields: {}, rest: text };
  const found: Record<string, string> = {};
  const rest: string[] = [];
  for (const problem of splitProblems(text)) {
    const [, path, message] = PROBLEM.exec(problem) ?? [];
    const field = path === undefined ? undefined : fieldOf(path, fields);
    if (path === undefined || message === undefined || field === undefined) rest.push(problem);
    else {
      const rule = EMPTY.test(message) ? "Fill this in." : message;
      const said = path === field ? rule : `${placeWithin(path.slice(field.length))}: ${rule}`;
      found[field] = found[field] === undefined ? said : `${found[field]}; ${said}`;
    }
  }
  return { fields: found, rest: rest.length === 0 ? null : rest.join("; ") };
}

/** `[1].name` is "entry 2, name". */
function placeWithin(rest: string): string {
  return rest
    .replace(/\[(\d+)\]/g, (_, index: string) => `.entry ${Number(index) + 1}`)
    .replace(/^\./, "")
    .replaceAll(".", ", ");
}

/** A rule may have a semicolon itself: a part without a path of its own belongs to the one before it. */
function splitProblems(text: string): string[] {
  const problems: string[] = [];
  for (const part of text.split("; ")) {
    if (problems.length > 0 && !PROBLEM.test(part)) problems.push(`${problems.pop()}; ${part}`);
    else problems.push(part);
  }
  return problems;
}

function fieldOf(path: string, fields: readonly string[]): string | undefined {
  const fits = fields.filter((field) => path === field || path.startsWith(`${field}.`) || path.startsWith(`${field}[`));
  return fits.sort((a, b) => b.length - a.length)[0];
}
