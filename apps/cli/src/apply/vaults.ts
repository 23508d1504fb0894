import type Anthropic from "@anthropic-ai/sdk";
import { credentialCreateParamsSchema, findProblems, vaultCreateParamsSchema } from "@sandbox0/protocol";
import { type NamedCredential, planCredentials, purposeOf } from "./credentials.ts";
import { describeDifference, findDifferences, findMetadataDifferences } from "./differences.ts";
import { type Document, refuse } from "./documents.ts";
import { digestOf, MARK, type Metadata, metadataPatch, userMetadata } from "./mark.ts";
import { match } from "./match.ts";
import type { Plan, PlanItem } from "./plan.ts";
import { openSecrets } from "./secrets.ts";

type Vaults = Anthropic["beta"]["vaults"];
type Vault = Awaited<ReturnType<Vaults["retrieve"]>>;
type Credential = Awaited<ReturnType<Vaults["credentials"]["retrieve"]>>;
type Fields = Record<string, unknown>;

const LIST_LIMIT = 100;

export interface VaultOptions {
  adopt: boolean;
  /** Where `from_env` looks. */
  environment: Readonly<Record<string, string | undefined>>;
  /** Of secrets in files that are not below the directory of their document. */
  allowOutside: boolean;
}

interface NamedVault {
  document: Document;
  name: string;
  field: string;
  metadata: Metadata;
  credentials: NamedCredential[];
}

/** @throws UserError when a document is no vault, or a secret is not where it says */
export async function planVaults(client: Anthropic, documents: readonly Document[], options: VaultOptions): Promise<Plan> {
  const problems: string[] = [];
  const named = documents.map((document) => readVault(document, options, problems));
  if (problems.length > 0) refuse(problems);
  const stored: (Vault & { name: string })[] = [];
  for await (const vault of client.beta.vaults.list({ limit: LIST_LIMIT })) stored.push({ ...vault, name: vault.display_name });
  const { pairs, orphans } = match(named, stored, { kind: "vault", adopt: options.adopt });
  const plan: Plan = { items: [], removals: [] };
  for (const { named: wanted, stored: vault } of pairs) {
    const made = { id: vault?.id };
    plan.items.push(planVault(client, wanted, vault, made));
    const credentials = planCredentials(
      {
        client,
        name: wanted.name,
        id: () => made.id ?? "",
        stored: vault === undefined ? [] : await listCredentials(client, vault.id),
        adopt: options.adopt,
      },
      wanted.credentials,
    );
    plan.items.push(...credentials.items);
    plan.removals.push(...credentials.removals);
  }
  plan.removals.push(
    ...orphans.map(
      (vault): PlanItem => ({
        action: "remove",
        name: `vault ${vault.name}`,
        id: vault.id,
        document: undefined,
        changes: [],
        run: async () => ({ id: (await client.beta.vaults.archive(vault.id)).id, note: "archived, its secrets are gone" }),
      }),
    ),
  );
  return plan;
}

async function listCredentials(client: Anthropic, vaultId: string): Promise<Credential[]> {
  const found: Credential[] = [];
  for await (const credential of client.beta.vaults.credentials.list(vaultId, { limit: LIST_LIMIT })) found.push(credential);
  return found;
}

function planVault(client: Anthropic, named: NamedVault, vault: Vault | undefined, made: { id: string | undefined }): PlanItem {
  const mark = digestOf({ display_name: named.name, metadata: named.metadata });
  const item = { name: `vault ${named.name}`, id: vault?.id, document: named.document };
  if (vault === undefined) {
    const run = async () => {
      const body = { display_name: named.name, metadata: { ...named.metadata, [MARK]: mark } };
      const { id } = await client.beta.vaults.create(body);
      made.id = id;
      return { id };
    };
    return { ...item, action: "create", changes: [], run };
  }
  const differences = [
    ...findDifferences({ display_name: named.name }, vault as unknown as Fields),
    ...findMetadataDifferences(named.metadata, userMetadata(vault.metadata)),
  ];
  if (differences.length === 0 && vault.metadata[MARK] === mark)
    return { ...item, action: "unchanged", changes: [], run: async () => ({ id: vault.id }) };
  const run = async () => {
    const metadata = metadataPatch(vault.metadata, named.metadata, mark);
    return { id: (await client.beta.vaults.update(vault.id, { metadata })).id };
  };
  return { ...item, action: "update", changes: differences.map(describeDifference), run };
}

function readVault(document: Document, options: VaultOptions, problems: string[]): NamedVault {
  const { credentials = [], ...fields } = document.value;
  problems.push(...findProblems(vaultCreateParamsSchema, fields).map((problem) => document.problem(problem)));
  if (!Array.isArray(credentials)) problems.push(`${document.where("credentials")}: must be a list`);
  const list: unknown[] = Array.isArray(credentials) ? credentials : [];
  return {
    document,
    name: String(fields.display_name),
    field: "display_name",
    metadata: (fields.metadata ?? {}) as Metadata,
    credentials: list.flatMap((value, index) => readCredential(document, value, index, { options, problems })),
  };
}

function readCredential(
  document: Document,
  value: unknown,
  index: number,
  { options, problems }: { options: VaultOptions; problems: string[] },
): NamedCredential[] {
  const base = `credentials[${index}]`;
  const fields = (typeof value === "object" && value !== null ? value : {}) as Fields;
  const given = (typeof fields.auth === "object" && fields.auth !== null ? fields.auth : {}) as Fields;
  const opened = openSecrets(given, { ...options, file: document.file });
  if (opened.problems.length > 0) {
    problems.push(...opened.problems.map((problem) => document.problem(problem, base)));
    return [];
  }
  const wrong = findProblems(credentialCreateParamsSchema, fields.auth === undefined ? fields : { ...fields, auth: opened.auth });
  if (wrong.length > 0) {
    problems.push(...wrong.map((problem) => document.problem(problem, base)));
    return [];
  }
  return [
    {
      document,
      name: purposeOf(opened.auth),
      field: `${base}.auth`,
      displayName: typeof fields.display_name === "string" ? fields.display_name : null,
      metadata: (fields.metadata ?? {}) as Metadata,
      auth: opened.auth as Fields & { type: string },
      described: value,
      secrets: opened.secrets,
      origins: opened.origins,
    },
  ];
}
