import type Anthropic from "@anthropic-ai/sdk";
import { environmentCreateParamsSchema, findProblems, PACKAGE_MANAGERS } from "@sandbox0/protocol";
import { describeDifference, findDifferences, findMetadataDifferences } from "./differences.ts";
import { type Document, refuse } from "./documents.ts";
import { digestOf, MARK, type Metadata, metadataPatch, userMetadata } from "./mark.ts";
import { match } from "./match.ts";
import type { Plan, PlanItem } from "./plan.ts";

type Environments = Anthropic["beta"]["environments"];
type Environment = Awaited<ReturnType<Environments["retrieve"]>>;
type Fields = Record<string, unknown>;

const LIST_LIMIT = 100;

/** @throws UserError when a document is no environment */
export async function planEnvironments(client: Anthropic, documents: readonly Document[], adopt: boolean): Promise<Plan> {
  const problems = documents.flatMap((document) =>
    findProblems(environmentCreateParamsSchema, document.value).map((problem) => document.problem(problem)),
  );
  if (problems.length > 0) refuse(problems);
  const named = documents.map((document) => ({ document, name: String(document.value.name), field: "name" }));
  const stored: Environment[] = [];
  for await (const environment of client.beta.environments.list({ limit: LIST_LIMIT })) stored.push(environment);
  const { pairs, orphans } = match(named, stored, { kind: "environment", adopt });
  return {
    items: pairs.map(({ named: { document }, stored: environment }) => planEnvironment(client, document, environment)),
    removals: orphans.map((environment) => ({
      action: "remove",
      name: `environment ${environment.name}`,
      id: environment.id,
      document: undefined,
      changes: [],
      run: async () => ({ id: (await client.beta.environments.archive(environment.id)).id, note: "archived" }),
    })),
  };
}

function planEnvironment(client: Anthropic, document: Document, environment: Environment | undefined): PlanItem {
  const { metadata, ...fields } = document.value as Fields & { name: string; metadata?: Metadata | null };
  const wanted = { ...fields, description: fields.description ?? null, config: withDefaults(fields.config) };
  const own = metadata ?? {};
  const mark = digestOf(document.value);
  const item = { name: `environment ${fields.name}`, id: environment?.id, document };
  if (environment === undefined) {
    const body = { ...wanted, metadata: { ...own, [MARK]: mark } } as Parameters<Environments["create"]>[0];
    const run = async () => ({ id: (await client.beta.environments.create(body)).id });
    return { ...item, action: "create", changes: [], run };
  }
  const differences = [
    ...findDifferences(wanted, environment as unknown as Fields, { exact: true }),
    ...findMetadataDifferences(own, userMetadata(environment.metadata)),
  ];
  if (differences.length === 0 && environment.metadata[MARK] === mark)
    return { ...item, action: "unchanged", changes: [], run: async () => ({ id: environment.id }) };
  const body = { ...wanted, metadata: metadataPatch(environment.metadata, own, mark) };
  const run = async () => ({
    id: (await client.beta.environments.update(environment.id, body as Parameters<Environments["update"]>[1])).id,
  });
  const changes = differences.map(describeDifference);
  return { ...item, action: "update", changes: changes.length > 0 ? changes : ["the document says it in another way"], run };
}

/** A document is the whole environment, and an update keeps what it does not say: so everything is said. */
function withDefaults(config: unknown): unknown {
  const { type = "cloud", networking, packages } = (config ?? {}) as { type?: string; networking?: unknown; packages?: unknown };
  if (type !== "cloud") return config;
  const listed = (packages ?? {}) as Fields;
  return {
    type,
    networking: withNetworkingDefaults(networking),
    packages: Object.fromEntries(PACKAGE_MANAGERS.map((manager) => [manager, listed[manager] ?? []])),
  };
}

function withNetworkingDefaults(networking: unknown): Fields {
  const { type = "unrestricted", ...rest } = (networking ?? {}) as Fields;
  if (type !== "limited") return { type };
  return {
    type,
    allowed_hosts: rest.allowed_hosts ?? [],
    allow_mcp_servers: rest.allow_mcp_servers ?? false,
    allow_package_managers: rest.allow_package_managers ?? false,
  };
}
