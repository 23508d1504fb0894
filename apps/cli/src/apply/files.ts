import { createHash } from "node:crypto";
import { createReadStream, openAsBlob } from "node:fs";
import { basename } from "node:path";
import type Anthropic from "@anthropic-ai/sdk";
import { describeFileNameProblem, findProblems } from "@sandbox0/protocol";
import { z } from "zod";
import { UserError } from "../command.ts";
import { type Document, refuse } from "./documents.ts";
import { findNamedFile } from "./named-file.ts";
import type { Plan, PlanItem } from "./plan.ts";

type Files = Anthropic["beta"]["files"];
type StoredFile = Awaited<ReturnType<Files["retrieveMetadata"]>>;

const LIST_LIMIT = 1_000;
const DIGEST_HEADER = "sandbox0-content-sha256";
const DIGEST_SHOWN_CHARS = 12;

const documentSchema = z.object({
  /** Beside the document. */
  path: z.string().min(1),
  /** Default: the last part of the path. */
  name: z
    .string()
    .superRefine((name, context) => {
      const problem = describeFileNameProblem(name);
      if (problem !== null) context.addIssue({ code: "custom", message: problem });
    })
    .optional(),
  /** Default: what its extension says, if that is known. */
  mime_type: z
    .string()
    .regex(/^[a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+-]+$/, "must be a type without parameters, in lower case")
    .optional(),
  expires_in_seconds: z.int().positive().optional(),
});

/** By extension: what agents are given most; anything else is `application/octet-stream`. */
const TYPES: Readonly<Record<string, string>> = {
  csv: "text/csv",
  gif: "image/gif",
  html: "text/html",
  jpeg: "image/jpeg",
  jpg: "image/jpeg",
  json: "application/json",
  md: "text/markdown",
  pdf: "application/pdf",
  png: "image/png",
  txt: "text/plain",
  webp: "image/webp",
  xml: "application/xml",
  yaml: "application/yaml",
  yml: "application/yaml",
  zip: "application/zip",
};

export interface FileOptions {
  /** Of files that are not below the directory of their document. */
  allowOutside: boolean;
}

interface NamedFile {
  document: Document;
  name: string;
  path: string;
  type: string;
  expiresInSeconds: number | undefined;
}

/**
 * A file cannot be changed and carries no mark: one is known by its name, the newest upload of it counts, and another
 * content is a new upload. Those before it stay, since sessions and agents may name them, until they are asked to go.
 *
 * @throws UserError when a document is no file, or the file it names is not there or may not be read
 */
export async function planFiles(client: Anthropic, documents: readonly Document[], options: FileOptions): Promise<Plan> {
  const problems: string[] = [];
  const named = documents.flatMap((document) => readFileDocument(document, options, problems));
  const names = new Set<string>();
  for (const { name, document } of named) {
    if (names.has(name)) problems.push(`${document.where("name")}: a file of this name is named already`);
    names.add(name);
  }
  if (problems.length > 0) refuse(problems);
  const uploads = new Map<string, StoredFile[]>();
  for await (const file of client.beta.files.list({ limit: LIST_LIMIT })) {
    // Newest first. Files of sessions are theirs.
    if (names.has(file.filename) && !file.scope) uploads.set(file.filename, [...(uploads.get(file.filename) ?? []), file]);
  }
  const plan: Plan = { items: [], removals: [] };
  for (const file of named) {
    const stored = uploads.get(file.name) ?? [];
    const item = await planFile(client, file, stored[0]);
    plan.items.push(item);
    const superseded = item.action === "unchanged" ? stored.slice(1) : stored;
    plan.removals.push(...superseded.map((old) => removeItem(client, old)));
  }
  return plan;
}

function readFileDocument(document: Document, options: FileOptions, problems: string[]): NamedFile[] {
  const wrong = findProblems(documentSchema, document.value);
  if (wrong.length > 0) {
    problems.push(...wrong.map((problem) => document.problem(problem)));
    return [];
  }
  const { path: given, name, mime_type, expires_in_seconds } = documentSchema.parse(document.value);
  const found = findNamedFile(given, { file: document.file, ...options });
  if ("problem" in found) {
    problems.push(`${document.where("path")}: ${found.problem}`);
    return [];
  }
  const { path } = found;
  const type = mime_type ?? TYPES[given.split(".").at(-1)?.toLowerCase() ?? ""] ?? "application/octet-stream";
  return [{ document, name: name ?? basename(given), path, type, expiresInSeconds: expires_in_seconds }];
}

async function planFile(client: Anthropic, file: NamedFile, stored: StoredFile | undefined): Promise<PlanItem> {
  const item = { name: `file ${file.name}`, id: stored?.id, document: file.document };
  const run = async () => ({ id: (await upload(client, file)).id });
  const origin = `content: from ${file.path}`;
  if (stored === undefined) return { ...item, action: "create", changes: [origin], run };
  const [here, there] = [await digestOfFile(file.path), await digestOfUpload(client, stored.id)];
  if (here !== there) {
    const short = (digest: string | null): string =>
      digest === null ? "expired" : `sha256 ${digest.slice(0, DIGEST_SHOWN_CHARS)}…`;
    return { ...item, action: "replace", changes: [`content: ${short(there)} → ${short(here)}`, origin], run };
  }
  if (stored.mime_type !== file.type)
    return { ...item, action: "replace", changes: [`mime_type: ${stored.mime_type} → ${file.type}`, origin], run };
  return { ...item, action: "unchanged", changes: [], run: async () => ({ id: stored.id }) };
}

function removeItem(client: Anthropic, old: StoredFile): PlanItem {
  return {
    action: "remove",
    name: `file ${old.filename} of ${old.created_at}`,
    id: old.id,
    document: undefined,
    changes: [],
    run: async () => ({ id: (await client.beta.files.delete(old.id)).id, note: "deleted" }),
  };
}

/** Read as it is sent: a file may be larger than the memory. */
async function upload(client: Anthropic, { path, name, type, expiresInSeconds }: NamedFile): Promise<StoredFile> {
  const file = new File([await openAsBlob(path, { type })], name, { type });
  return await client.beta.files.upload({
    file,
    ...(expiresInSeconds === undefined ? {} : { expires_in_seconds: expiresInSeconds }),
  });
}

async function digestOfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** @returns `null` when its content has expired */
async function digestOfUpload(client: Anthropic, id: string): Promise<string | null> {
  const { data, response } = await client.beta.files.retrieveMetadata(id).withResponse();
  if (data.expires_at && Date.parse(data.expires_at) <= Date.now()) return null;
  const digest = response.headers.get(DIGEST_HEADER);
  if (digest !== null) return digest;
  throw new UserError(`${client.baseURL} does not say what is in its files, so they cannot be compared with yours.`);
}
