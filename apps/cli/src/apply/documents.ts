import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isCollection, isMap, isNode, isSeq, LineCounter, parseAllDocuments, type Document as YamlDocument } from "yaml";
import { UserError } from "../command.ts";

/** Of one configuration file; a megabyte of YAML is a mistake already. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;
/** Of one call. */
const FILES_MAX = 1_000;
const PROBLEMS_SHOWN_MAX = 20;
const EXTENSION = /\.(ya?ml|json)$/;

export const KINDS = ["agent", "environment", "vault", "file"] as const;
export type Kind = (typeof KINDS)[number];

/** One resource as a file describes it. */
export interface Document {
  /** As the user named it, or below the directory that the user named. */
  readonly file: string;
  /** From 1, within its file. */
  readonly number: number;
  /** Without `kind`. */
  readonly value: Readonly<Record<string, unknown>>;
  /** `agents.yaml:12: document 2: tools[0].name`: where a field is, or the nearest thing around it. */
  where(field?: string): string;
  /** The same for a sentence that begins with a field: `name: Field required`. `base`: what the field is in. */
  problem(sentence: string, base?: string): string;
}

/** What is wrong with the files: nothing was changed when it is thrown. */
export function refuse(problems: readonly string[]): never {
  const rest = problems.length - PROBLEMS_SHOWN_MAX;
  const more = rest > 0 ? [`and ${rest} more`] : [];
  throw new UserError(["Nothing was changed:", ...problems.slice(0, PROBLEMS_SHOWN_MAX), ...more].join("\n  "));
}

/**
 * Reads YAML and JSON files and the directories they are in. A file holds documents, or lists of them.
 * @returns those of `kind`, which is what a document without `kind` is taken for, and how many are of other kinds
 * @throws UserError that names file, line and document
 */
export function readDocuments(paths: readonly string[], kind: Kind): { documents: Document[]; others: number } {
  const files = paths.flatMap(listFiles);
  if (files.length > FILES_MAX) throw new UserError(`${files.length} files, at most ${FILES_MAX} at once.`);
  const problems: string[] = [];
  const documents: Document[] = [];
  let others = 0;
  for (const { document, kind: own, problem } of files.flatMap(readFile)) {
    if (problem !== undefined) problems.push(problem);
    else if (own === undefined || own === kind) documents.push(document);
    else if (KINDS.some((known) => known === own)) others += 1;
    else problems.push(`${document.where("kind")}: must be one of ${KINDS.join(", ")}`);
  }
  if (problems.length > 0) refuse(problems);
  return { documents, others };
}

function listFiles(path: string): string[] {
  try {
    if (!lstatSync(path).isDirectory()) return [path];
    const names = readdirSync(path, { withFileTypes: true, recursive: true });
    return names
      .filter((entry) => entry.isFile() && EXTENSION.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
  } catch (error) {
    throw cannotRead(path, error);
  }
}

interface Read {
  document: Document;
  kind: unknown;
  problem: string | undefined;
}

function readFile(file: string): Read[] {
  const lines = new LineCounter();
  const parsed = parseAllDocuments(readText(file), { lineCounter: lines, prettyErrors: false });
  if (!Array.isArray(parsed)) return [];
  let number = 0;
  return (parsed as YamlDocument[]).flatMap((yaml) => {
    const [error] = yaml.errors;
    if (error !== undefined) {
      const { line, col } = lines.linePos(error.pos[0]);
      refuse([`${file}:${line}:${col}: ${error.message}`]);
    }
    const root = yaml.contents;
    // A list of resources is as good as several documents.
    const places: (string | number)[][] = isSeq(root) ? root.items.map((_, index) => [index]) : [[]];
    return places.flatMap((place): Read[] => {
      const value: unknown = toValue(yaml, place, file);
      if (value === null || value === undefined) return [];
      number += 1;
      return [describe({ file, number, value, lineOf: (path) => lineOf(yaml, [...place, ...path], lines) })];
    });
  });
}

function readText(file: string): string {
  try {
    const bytes = readFileSync(file);
    if (bytes.length > FILE_BYTES_MAX) throw new UserError(`${file}: more than ${FILE_BYTES_MAX} bytes.`);
    return bytes.toString("utf8");
  } catch (error) {
    throw cannotRead(file, error);
  }
}

function cannotRead(path: string, error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof UserError) return error;
  return new UserError(`${path}: cannot be read: ${error.message}`, { cause: error });
}

/** Anchors that multiply are refused by the parser. */
function toValue(yaml: YamlDocument, place: readonly (string | number)[], file: string): unknown {
  try {
    const value: unknown = yaml.toJS();
    return place.reduce((inner, key) => (inner as Record<string | number, unknown>)[key], value);
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error;
    throw new UserError(`${file}: ${error.message}`, { cause: error });
  }
}

/** `tools[0].name: Field required`, and what begins with no field. */
const SENTENCE = /^([\w-]+(?:\.[\w-]+|\[\d+\])*): (.*)$/s;

function describe(read: { file: string; number: number; value: unknown; lineOf(path: (string | number)[]): number }): Read {
  const { file, number, value } = read;
  const where = (field = ""): string => {
    const line = read.lineOf(pathOf(field));
    return `${file}:${line}: document ${number}${field === "" ? "" : `: ${field}`}`;
  };
  const problem = (sentence: string, base = ""): string => {
    const [, field, message] = SENTENCE.exec(sentence) ?? [];
    const path = [base, field ?? ""].filter((part) => part !== "").join(".");
    return `${where(path)}: ${message ?? sentence}`;
  };
  const document = { file, number, where, problem };
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return { document: { ...document, value: {} }, kind: undefined, problem: problem("must be a mapping of fields") };
  const { kind, ...rest } = value as Record<string, unknown>;
  return { document: { ...document, value: rest }, kind, problem: undefined };
}

/** `tools[0].name` as keys. */
const pathOf = (field: string): (string | number)[] =>
  [...field.matchAll(/([^.[\]]+)|\[(\d+)\]/g)].map(([, key, index]) => (index === undefined ? (key ?? "") : Number(index)));

function lineOf(yaml: YamlDocument, path: readonly (string | number)[], lines: LineCounter): number {
  let node: unknown = yaml.contents;
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
  for (const key of path) {
    if (!isCollection(node)) break;
    const pair = isMap(node) ? node.items.find((item) => String(item.key) === String(key)) : undefined;
    const inner: unknown = pair === undefined ? node.get(key, true) : pair.value;
    const place: unknown = pair?.key ?? inner;
    if (!isNode(place)) break;
    offset = place.range?.[0] ?? offset;
    node = inner;
  }
  return lines.linePos(offset).line;
}
