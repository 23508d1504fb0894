import type { z } from "zod";
import { invalidRequest } from "./errors.ts";

/** Problems named in one error message; a body with more of them is told of the first ones. */
const PROBLEMS_SHOWN_MAX = 5;

type Path = readonly PropertyKey[];

/** `events[0].content`: the way to a field as the API's error messages name it. */
export function formatPath(path: Path): string {
  let text = "";
  for (const part of path) text += typeof part === "number" ? `[${part}]` : text === "" ? String(part) : `.${String(part)}`;
  return text;
}

/** `name: Field required`, or the rule alone when the whole body is meant. */
function formatProblem(path: Path, message: string): string {
  return path.length === 0 ? message : `${formatPath(path)}: ${message}`;
}

/** The branch of a union that got furthest is the one the client meant. */
function closestBranch(branches: readonly z.core.$ZodIssue[][]): readonly z.core.$ZodIssue[] {
  const depth = (issues: readonly z.core.$ZodIssue[]): number => Math.max(0, ...issues.map((issue) => issue.path.length));
  return branches.reduce((best, branch) => (depth(branch) > depth(best) ? branch : best));
}

function describeIssue(issue: z.core.$ZodIssue, prefix: Path): string[] {
  const path = [...prefix, ...issue.path];
  switch (issue.code) {
    case "invalid_union": {
      if (issue.errors.length === 0) break;
      if (issue.input === undefined) return [formatProblem(path, "Field required")];
      const branch = closestBranch(issue.errors);
      if (branch.some((inner) => inner.path.length > 0)) return branch.flatMap((inner) => describeIssue(inner, path));
      const expected = issue.errors.flat().map((inner) => (inner.code === "invalid_type" ? inner.expected : "another value"));
      return [formatProblem(path, `Invalid input: expected ${[...new Set(expected)].join(" or ")}`)];
    }
    case "invalid_key":
      return issue.issues.flatMap((inner) => describeIssue(inner, path));
    case "invalid_type":
      if (issue.input === undefined) return [formatProblem(path, "Field required")];
  }
  return [formatProblem(path, issue.message)];
}

/** What is wrong, one sentence a problem: `tools[0].name: …`. */
export function describeProblems(error: z.core.$ZodError): string[] {
  return error.issues.flatMap((issue) => describeIssue(issue, []));
}

/**
 * Parses what a client sent.
 * @throws ApiError invalid_request_error that names each field and the rule it broke
 */
export function parseRequest<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const problems = describeProblems(result.error);
  const shown = problems.slice(0, PROBLEMS_SHOWN_MAX).join("; ");
  const rest = problems.length - PROBLEMS_SHOWN_MAX;
  const code = result.error.issues.map(errorCodeOf).find((found) => found !== undefined);
  throw invalidRequest(rest > 0 ? `${shown}; and ${rest} more` : shown, code === undefined ? undefined : { error_code: code });
}

/** A refinement may carry a machine-readable code of contract §1.7 in its params. */
function errorCodeOf(issue: z.core.$ZodIssue): string | undefined {
  if (issue.code !== "custom") return undefined;
  const code: unknown = issue.params?.error_code;
  return typeof code === "string" ? code : undefined;
}

/** How deep the JSON of a request may nest. Postgres, V8 and every client recurse over it. */
export const JSON_DEPTH_MAX = 128;

/** @throws ApiError when arrays and objects nest deeper than `JSON_DEPTH_MAX` */
export function requireShallow(value: unknown, depth = 0): void {
  if (typeof value !== "object" || value === null) return;
  if (depth >= JSON_DEPTH_MAX) throw invalidRequest(`The request body nests deeper than ${JSON_DEPTH_MAX} levels.`);
  for (const inner of Array.isArray(value) ? value : Object.values(value)) requireShallow(inner, depth + 1);
}

/**
 * Text that a database can store: no NUL, no half of a surrogate pair. Events are exempt: they are kept as JSON texts.
 * @throws ApiError that names the field
 */
export function requireStorableText(value: unknown, path: Path = []): void {
  if (typeof value === "string") {
    if (value.includes("\0") || !value.isWellFormed())
      throw invalidRequest(formatProblem(path, "Text must be valid Unicode without NUL characters"));
  } else if (Array.isArray(value)) {
    for (const [index, inner] of value.entries()) requireStorableText(inner, [...path, index]);
  } else if (typeof value === "object" && value !== null) {
    for (const [key, inner] of Object.entries(value)) {
      requireStorableText(key, path);
      requireStorableText(inner, [...path, key]);
    }
  }
}
