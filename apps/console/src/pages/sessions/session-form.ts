import type { SessionCreateParams, SessionResourceParams } from "@sandbox0/protocol";
import { fieldProblems } from "../../resources/field-problems.ts";
import { type FileRow, fileParams } from "../../resources/file-row.ts";
import { type MetadataRow, metadataOf } from "../../resources/metadata.ts";
import type { Row } from "../../resources/rows.ts";

export interface RepositoryRow extends Row {
  url: string;
  /** What is checked out: the default branch, or the branch or commit that `ref` names. */
  checkout: "default" | "branch" | "commit";
  ref: string;
  token: string;
  path: string;
}
export interface StoreRow {
  storeId: string;
  access: "read_write" | "read_only";
  instructions: string;
}

/** What the form of a new session has in its fields. */
export interface SessionForm {
  agent: string;
  environment: string;
  title: string;
  message: string;
  files: readonly FileRow[];
  repositories: readonly RepositoryRow[];
  stores: readonly StoreRow[];
  vaults: readonly string[];
  metadata: readonly MetadataRow[];
}

export function emptySessionForm(agent: string, environment: string): SessionForm {
  const nothing = { files: [], repositories: [], stores: [], vaults: [], metadata: [] };
  return { agent, environment, title: "", message: "", ...nothing };
}

export const emptyRepository = (id: number): RepositoryRow => ({
  id,
  url: "",
  checkout: "default",
  ref: "",
  token: "",
  path: "",
});

// --- to a request ----------------------------------------------------------------------------------------------------

/** A request as contract §6 has it; what was left empty is left out. */
export function sessionCreateParams(form: SessionForm): SessionCreateParams {
  const text = form.message.trim();
  const metadata = metadataOf(form.metadata);
  const resources = resourcesOf(form).map(({ params }) => params);
  return {
    agent: form.agent,
    environment_id: form.environment,
    ...(form.title.trim() !== "" && { title: form.title.trim() }),
    ...(Object.keys(metadata).length > 0 && { metadata }),
    ...(form.vaults.length > 0 && { vault_ids: [...form.vaults] }),
    ...(resources.length > 0 && { resources }),
    ...(text !== "" && { initial_events: [{ type: "user.message", content: [{ type: "text", text }] }] }),
  };
}

interface NamedResource {
  key: string;
  params: SessionResourceParams;
}

/** In the order of the request, which is how the server's answer names them. */
function resourcesOf({ files, repositories, stores }: SessionForm): NamedResource[] {
  return [
    ...files.map((row) => ({ key: fileKey(row), params: fileParams(row) })),
    ...repositories.map((row) => ({ key: repositoryKey(row), params: repositoryParams(row) })),
    ...stores.map((row) => ({ key: storeKey(row), params: storeParams(row) })),
  ];
}

function repositoryParams({ url, checkout, ref, token, path }: RepositoryRow): SessionResourceParams {
  const name = ref.trim();
  return {
    type: "github_repository",
    url: url.trim(),
    ...(checkout === "branch" && { checkout: { type: "branch", name } }),
    ...(checkout === "commit" && { checkout: { type: "commit", sha: name } }),
    ...(token.trim() !== "" && { authorization_token: token.trim() }),
    ...(path.trim() !== "" && { mount_path: path.trim() }),
  };
}

function storeParams({ storeId, access, instructions }: StoreRow): SessionResourceParams {
  const text = instructions.trim();
  return { type: "memory_store", memory_store_id: storeId, access, ...(text !== "" && { instructions: text }) };
}

// --- from a refusal --------------------------------------------------------------------------------------------------

export const fileKey = ({ id }: Row): string => `file ${id}`;
export const repositoryKey = ({ id }: Row): string => `repository ${id}`;
export const storeKey = ({ storeId }: Pick<StoreRow, "storeId">): string => `store ${storeId}`;

/** What is wrong, by the names of the request. */
export type Problems = Readonly<Record<string, string>>;
export interface SessionProblems {
  fields: Problems;
  /** By the key of a row; `resource` is what is about the row as a whole. */
  rows: ReadonlyMap<string, Problems>;
  /** What is about no field; `null`: nothing. */
  rest: string | null;
}

const FIELDS = ["agent", "environment_id", "title", "metadata", "vault_ids", "initial_events", "resources"];
const RESOURCE_FIELDS = [
  "file_id",
  "mount_path",
  "url",
  "authorization_token",
  "checkout",
  "checkout.name",
  "checkout.sha",
  "memory_store_id",
  "access",
  "instructions",
];

/** @param sent the form that was refused: rows that were taken out since are still counted */
export function sessionProblems(error: unknown, sent: SessionForm): SessionProblems {
  const keys = resourcesOf(sent).map(({ key }) => key);
  const names = keys.flatMap((_, at) => [`resources[${at}]`, ...RESOURCE_FIELDS.map((name) => `resources[${at}].${name}`)]);
  const { fields: found, rest } = fieldProblems(error, [...FIELDS, ...names]);
  const fields: Record<string, string> = {};
  const rows = new Map<string, Record<string, string>>();
  for (const [name, said] of Object.entries(found)) {
    const [, at, field = "resource"] = /^resources\[(\d+)\](?:\.(.+))?$/.exec(name) ?? [];
    const key = at === undefined ? undefined : keys[Number(at)];
    if (key === undefined) fields[name] = said;
    else rows.set(key, { ...rows.get(key), [field.startsWith("checkout") ? "checkout" : field]: said });
  }
  return { fields, rows, rest };
}
