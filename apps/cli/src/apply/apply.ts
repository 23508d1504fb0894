import { createInterface } from "node:readline/promises";
import type Anthropic from "@anthropic-ai/sdk";
import { callServer, createClient, explain, SERVER_OPTIONS } from "../client.ts";
import { type Arguments, type Command, EXIT, JSON_OPTION, type Output, UserError, usageError } from "../command.ts";
import { printJson, printLine } from "../print.ts";
import { loadSettings } from "../settings.ts";
import { planAgents } from "./agents.ts";
import { type Document, type Kind, readDocuments } from "./documents.ts";
import { planEnvironments } from "./environments.ts";
import { planFiles } from "./files.ts";
import { type Plan, printDone, printPlan, type PlanItem } from "./plan.ts";
import { planVaults } from "./vaults.ts";

const OPTIONS = {
  file: { type: "string", short: "f", multiple: true, help: "a YAML or JSON file, or a directory of them", value: "path" },
  "dry-run": { type: "boolean", short: "n", help: "show what would be done, and do nothing" },
  prune: { type: "boolean", help: "also remove what apply made and no file names any more; asks first" },
  yes: { type: "boolean", short: "y", help: "with --prune: do not ask" },
  ...SERVER_OPTIONS,
  ...JSON_OPTION,
} as const;

const ADOPT_OPTION = {
  adopt: { type: "boolean", help: "take over what is there under these names and apply did not make" },
} as const;

const OUTSIDE_OPTION = {
  "allow-outside": { type: "boolean", help: "read files that are not below the directory of the document that names them" },
} as const;

const COMMON_DETAILS = `
A file holds one or more documents. Applying twice does nothing; a document that has changed updates what it made, and what
it leaves out is as in a new one. A document may say its kind (agent, environment, vault or file): those of other kinds are
left alone, so one directory can hold all of them.`;

interface Applied {
  kind: Kind;
  summary: string;
  details: string;
  options: Command["options"];
  plan(client: Anthropic, documents: readonly Document[], args: Arguments): Promise<Plan>;
}

export const agentsApply = createApply({
  kind: "agent",
  summary: "Make agents as files describe them.",
  options: ADOPT_OPTION,
  details: `${COMMON_DETAILS}

  name: reviewer
  model: claude-sonnet-5-5
  system: You review code.
  tools: [{type: agent_toolset_20260401}]

--prune archives, which cannot be undone: agents that were applied from other files, too.`,
  plan: (client, documents, args) => planAgents(client, documents, args.flag("adopt")),
});

export const environmentsApply = createApply({
  kind: "environment",
  summary: "Make environments as files describe them.",
  options: ADOPT_OPTION,
  details: `${COMMON_DETAILS}

  name: python
  config:
    type: cloud
    networking: {type: limited, allowed_hosts: [api.example.com], allow_package_managers: true}
    packages: {pip: [requests]}

--prune archives, which cannot be undone: environments that were applied from other files, too.`,
  plan: (client, documents, args) => planEnvironments(client, documents, args.flag("adopt")),
});

export const vaultsApply = createApply({
  kind: "vault",
  summary: "Make vaults and their credentials as files describe them.",
  options: { ...ADOPT_OPTION, ...OUTSIDE_OPTION },
  details: `${COMMON_DETAILS}

  display_name: ci
  credentials:
    - auth:
        type: environment_variable
        secret_name: NPM_TOKEN
        secret_value: {from_env: NPM_TOKEN}
        networking: {type: limited, allowed_hosts: [registry.example.com]}

Secrets never stand in a file: {from_env: NAME} takes one from the environment, {from_file: PATH} from a file beside the
document or below its directory. What cannot be changed in a credential is replaced.

--prune archives, and secrets of archived vaults and credentials are gone: those that were applied from other files, too.`,
  plan: (client, documents, args) =>
    planVaults(client, documents, {
      adopt: args.flag("adopt"),
      environment: loadSettings().environment,
      allowOutside: args.flag("allow-outside"),
    }),
});

export const filesApply = createApply({
  kind: "file",
  summary: "Upload files that documents name.",
  options: OUTSIDE_OPTION,
  details: `${COMMON_DETAILS}

  path: ./guide.pdf                # beside the document
  name: guide.pdf                  # the default: the last part of the path
  mime_type: application/pdf       # the default: by the extension

A file is known by its name. Another content is a new upload with a new id; the one before stays, for sessions and agents
that name it. --prune deletes earlier uploads of the same names.`,
  plan: (client, documents, args) => planFiles(client, documents, { allowOutside: args.flag("allow-outside") }),
});

function createApply({ kind, summary, details, options, plan }: Applied): Command {
  const command: Command = {
    name: `${kind}s apply`,
    summary,
    positionals: [],
    options: { ...OPTIONS, ...options },
    details,
    async run(args, output) {
      const paths = args.texts("file");
      if (paths.length === 0) throw usageError(command, "Missing --file <path>");
      const isDry = args.flag("dry-run");
      if (args.flag("prune") && !isDry && !args.flag("yes") && process.stdin.isTTY !== true)
        throw usageError(command, "--prune asks before it removes anything; where nobody can answer, say --yes");
      const { documents, others } = readDocuments(paths, kind);
      const client = createClient(args);
      const { items, removals } = await callServer(client, () => plan(client, documents, args));
      const all = args.flag("prune") ? [...items, ...removals] : items;
      const run = new Run(client, output, args.flag("json"));
      run.show(all, { others, isDry });
      if (isDry) return run.finish();
      await run.do(items);
      if (args.flag("prune") && removals.length > 0) {
        if (args.flag("yes") || (await confirm(output, removals))) await run.do(removals);
        else output.stderr.write("Nothing was removed.\n");
      }
      return run.finish();
    },
  };
  return command;
}

async function confirm(output: Output, removals: readonly PlanItem[]): Promise<boolean> {
  const reader = createInterface({ input: process.stdin, output: output.stderr });
  try {
    return /^y(es)?$/i.test((await reader.question(`Remove ${removals.length}? This cannot be undone. [y/N] `)).trim());
  } finally {
    reader.close();
  }
}

interface Outcome {
  action: PlanItem["action"];
  name: string;
  id: string | null;
  file: string | null;
  document: number | null;
  changes: string[];
  /** False in a dry run, and for what comes after a failure. */
  done: boolean;
}

/** Does what is planned, one after the other, and tells how far it came. */
class Run {
  private readonly client: Anthropic;
  private readonly output: Output;
  private readonly json: boolean;
  private outcomes = new Map<PlanItem, Outcome>();

  constructor(client: Anthropic, output: Output, json: boolean) {
    this.client = client;
    this.output = output;
    this.json = json;
  }

  show(items: readonly PlanItem[], { others, isDry }: { others: number; isDry: boolean }): void {
    for (const item of items) this.outcomes.set(item, outcomeOf(item));
    if (this.json) return;
    printPlan(this.output, items);
    if (others > 0) printLine(this.output, `${others} documents of other kinds are left alone.`);
    if (isDry) printLine(this.output, "A dry run: nothing was changed.");
  }

  /** @throws UserError that says which document could not be applied, and where it is */
  async do(items: readonly PlanItem[]): Promise<void> {
    for (const item of items) {
      const result = await this.try(item);
      this.outcomes.set(item, { ...outcomeOf(item), id: result.id, done: true });
      if (!this.json && item.action !== "unchanged") printDone(this.output, item, result);
    }
  }

  finish(): number {
    if (this.json) printJson(this.output, [...this.outcomes.values()]);
    return EXIT.ok;
  }

  private async try(item: PlanItem): ReturnType<PlanItem["run"]> {
    try {
      return await item.run();
    } catch (error) {
      const explained = explain(error, this.client.baseURL);
      if (!(explained instanceof UserError)) throw explained;
      this.finish();
      const message = item.document?.problem(explained.message) ?? `${item.name}: ${explained.message}`;
      throw new UserError(`${message}\nWhat comes after it was not done; apply again when it is mended.`, { cause: error });
    }
  }
}

const outcomeOf = ({ action, name, id, document, changes }: PlanItem): Outcome => ({
  action,
  name,
  id: id ?? null,
  file: document?.file ?? null,
  document: document?.number ?? null,
  changes,
  done: false,
});
