import { isIP } from "node:net";
import { readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { describeAllowedHostProblem } from "@sandbox0/protocol";
import { z } from "zod";
import { type Models, readModels } from "./models.ts";

/** What a server is made of. The environment is read here and nowhere else in the server (design §9). */
export interface Config {
  host: string;
  /** 0: any free port. */
  port: number;
  /** Absolute. */
  dataDir: string;
  /** A Postgres of the operator's; `undefined` runs the embedded one. */
  databaseUrl: string | undefined;
  /** Accepted as an API key besides those in the database. */
  apiKey: string | undefined;
  /** 32 bytes; wraps the data keys of vaults. */
  masterKey: Buffer | undefined;
  /** Of a session that asks for none. */
  harness: "sandpi" | "claude" | "codex";
  sandbox: "auto" | "bubblewrap" | "docker" | "process";
  /** Kept ready for sessions that have none yet. */
  warmSandboxes: number;
  roles: ReadonlySet<Role>;
  blobs: { type: "directory"; path: string } | { type: "s3"; url: string };
  /** How long deleted content stays. */
  blobGraceMs: number;
  /** Whether files that clients uploaded can be downloaded; those that sessions made always can. */
  uploadsDownloadable: boolean;
  /** Absolute; holds the skills that the operator provides under Anthropic's ids. `null`: there are none. */
  skillsDir: string | null;
  /** Addresses and CIDRs that the gateways may reach although they are private. */
  egressAllowPrivate: readonly string[];
  /** Ports that sandboxes may connect to. */
  egressPorts: readonly number[];
  /** Hosts and `*.x` that no `unrestricted` sandbox may reach. */
  egressBlockedHosts: readonly string[];
  /** Hosts and `*.x` that `allow_package_managers` opens besides those of the installed package managers. */
  packageHosts: readonly string[];
  /** What the package managers of this machine are run with to be asked for theirs. */
  packageEnvironment: Readonly<Record<string, string>>;
  /** Those of the operator's variables that name mirrors, for the sandboxes' own package managers. */
  packageMirrors: Readonly<Record<string, string>>;
  images: {
    /** Host and port where images without one are pulled from; `null`: nowhere. */
    defaultRegistry: string | null;
    /** Hosts and ports of registries that are asked without TLS. */
    plainHttp: readonly string[];
  };
  /** Judges tool calls under permission policy `auto`; `undefined`: they are asked for. */
  judgeModel: string | undefined;
  /** Who answers `web_search`; `null`: the tool says that it is not configured. */
  webSearch: WebSearchConfig | null;
  telemetry: { endpoint: string | undefined; headers: Readonly<Record<string, string>> };
  models: Models;
}

export interface WebSearchConfig {
  provider: "brave" | "tavily" | "searxng";
  /** Without a trailing slash. */
  baseUrl: string;
  /** `undefined` for SearXNG, which has none. */
  key: string | undefined;
}

type Role = "api" | "worker";
export type Environment = Readonly<Record<string, string | undefined>>;

/** The environment cannot be used; each problem names the variable and the rule, never a secret's value. */
export class ConfigError extends Error {
  readonly code = "bad_configuration";
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.name = "ConfigError";
    this.problems = problems;
  }
}

const PORT_MAX = 65_535;
const MASTER_KEY_BYTES = 32;
/** Each takes a few MB and two processes, one of them some 40 MB more. */
const WARM_SANDBOXES_MAX = 64;
const BLOB_GRACE_SECONDS_MAX = 30 * 24 * 3_600;

const list = z.string().transform((text) =>
  text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== ""),
);
const url = z.url({ protocol: /^https?$/, error: "must be an http or https URL" });
const key = z.string().regex(/^[\x21-\x7e]+$/, "must be printable ASCII without spaces");
const oneOf = <const T extends readonly [string, ...string[]]>(...names: T) =>
  z.enum(names, { error: `must be one of ${names.join(", ")}` });

const wholeNumber = (max: number, min = 0) => {
  const rule = `must be a whole number from ${min} to ${max}`;
  return z
    .string()
    .regex(/^\d+$/, rule)
    .transform(Number)
    .refine((value) => value >= min && value <= max, rule);
};

const hostPatterns = list.pipe(
  z.array(
    z.string().refine((host) => describeAllowedHostProblem(host) === null, "must be hosts or wildcards like *.example.com"),
  ),
);
const registryHost = z.string().regex(/^[a-z0-9.[\]:-]+$/i, "must be a host, or a host and a port");
/** Nothing else of the environment: it has keys of ours. */
const PACKAGE_VARIABLE =
  /^(PATH|HOME|XDG_CONFIG_HOME|npm_config_\w+|PIP_\w+|GO(PROXY|SUMDB|ENV|ROOT|PATH|TOOLCHAIN)|CARGO_HOME|RUSTUP_(HOME|TOOLCHAIN)|GEM_(HOME|PATH)|GEMRC)$/i;

/** What has a user or password in its URL is left out. */
const MIRROR_VARIABLE = /^(npm_config_registry|PIP_(EXTRA_)?INDEX_URL|GO(PROXY|SUMDB))$/i;

const environmentSchema = z.object({
  SANDBOX0_HOST: z.string().default("127.0.0.1"),
  SANDBOX0_PORT: wholeNumber(PORT_MAX).default(8787),
  SANDBOX0_DATA_DIR: z.string().default(".sandbox0"),
  DATABASE_URL: z
    .string()
    .regex(/^postgres(ql)?:\/\//, "must begin with postgres:// or postgresql://")
    .optional(),
  SANDBOX0_API_KEY: key.optional(),
  SANDBOX0_MASTER_KEY: z.string().transform(parseMasterKey).optional(),
  SANDBOX0_HARNESS: oneOf("sandpi", "claude", "codex").default("sandpi"),
  SANDBOX0_SANDBOX: oneOf("auto", "bubblewrap", "docker", "process").default("auto"),
  SANDBOX0_WARM_SANDBOXES: wholeNumber(WARM_SANDBOXES_MAX).default(4),
  SANDBOX0_ROLES: list.pipe(z.array(oneOf("api", "worker")).min(1, "must name at least one role")).default(["api", "worker"]),
  SANDBOX0_BLOBS: z
    .string()
    .regex(/^(s3:\/\/.|(?![a-z0-9+.-]+:\/\/))/, "must be a directory or an s3:// URL")
    .optional(),
  SANDBOX0_BLOB_GRACE_SECONDS: wholeNumber(BLOB_GRACE_SECONDS_MAX, 1).default(3_600),
  SANDBOX0_UPLOADS_DOWNLOADABLE: oneOf("true", "false").default("false"),
  SANDBOX0_SKILLS_DIR: z
    .string()
    .refine((path) => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false, "must be a directory")
    .optional(),
  SANDBOX0_EGRESS_ALLOW_PRIVATE: list
    .pipe(z.array(z.string().refine(isNetwork, "must be IP addresses or CIDRs, separated by commas")))
    .default([]),
  SANDBOX0_EGRESS_PORTS: list.pipe(z.array(wholeNumber(PORT_MAX)).min(1, "must name at least one port")).default([80, 443]),
  SANDBOX0_EGRESS_BLOCKED_HOSTS: hostPatterns.default([]),
  SANDBOX0_PACKAGE_HOSTS: hostPatterns.default([]),
  SANDBOX0_IMAGE_REGISTRY: registryHost.optional(),
  SANDBOX0_IMAGE_PLAIN_HTTP: list.pipe(z.array(registryHost)).default([]),
  SANDBOX0_MODELS: z.string().optional(),
  SANDBOX0_JUDGE_MODEL: z.string().max(256).optional(),
  SANDBOX0_WEB_SEARCH: oneOf("brave", "tavily", "searxng").optional(),
  SANDBOX0_WEB_SEARCH_KEY: key.optional(),
  SANDBOX0_WEB_SEARCH_URL: url.optional(),
  ANTHROPIC_API_KEY: key.optional(),
  ANTHROPIC_BASE_URL: url.optional(),
  OPENAI_API_KEY: key.optional(),
  OPENAI_BASE_URL: url.optional(),
  OTEL_EXPORTER_OTLP_ENDPOINT: url.optional(),
  OTEL_EXPORTER_OTLP_HEADERS: z.string().transform(parseHeaders).optional(),
});

/**
 * Reads the configuration of a server. An empty variable counts as unset. `overrides` replace what came out, for a server
 * that is started by a program.
 * @throws ConfigError with every problem at once
 */
export function loadConfig(environment: Environment = process.env, overrides: Partial<Config> = {}): Config {
  const read = (name: string): string | undefined => environment[name] || undefined;
  const parsed = environmentSchema.safeParse(
    Object.fromEntries(Object.keys(environmentSchema.shape).map((name) => [name, read(name)])),
  );
  if (!parsed.success) {
    throw new ConfigError(parsed.error.issues.map(({ path, message }) => `${String(path[0])}: ${message}`));
  }
  const env = parsed.data;
  const providers = {
    anthropicKey: env.ANTHROPIC_API_KEY,
    anthropicUrl: env.ANTHROPIC_BASE_URL,
    openaiKey: env.OPENAI_API_KEY,
    openaiUrl: env.OPENAI_BASE_URL,
  };
  const models = readModels(env.SANDBOX0_MODELS, providers, read);
  if ("problems" in models) throw new ConfigError(models.problems.map((problem) => `SANDBOX0_MODELS: ${problem}`));
  const webSearch = parseWebSearch(env.SANDBOX0_WEB_SEARCH, env.SANDBOX0_WEB_SEARCH_URL, env.SANDBOX0_WEB_SEARCH_KEY);
  if (webSearch !== null && "problem" in webSearch) throw new ConfigError([webSearch.problem]);
  const dataDir = resolve(env.SANDBOX0_DATA_DIR);
  return {
    host: env.SANDBOX0_HOST,
    port: env.SANDBOX0_PORT,
    dataDir,
    databaseUrl: env.DATABASE_URL,
    apiKey: env.SANDBOX0_API_KEY,
    masterKey: env.SANDBOX0_MASTER_KEY,
    harness: env.SANDBOX0_HARNESS,
    sandbox: env.SANDBOX0_SANDBOX,
    warmSandboxes: env.SANDBOX0_WARM_SANDBOXES,
    roles: new Set(env.SANDBOX0_ROLES),
    blobs: parseBlobs(env.SANDBOX0_BLOBS, dataDir),
    blobGraceMs: env.SANDBOX0_BLOB_GRACE_SECONDS * 1_000,
    uploadsDownloadable: env.SANDBOX0_UPLOADS_DOWNLOADABLE === "true",
    skillsDir: env.SANDBOX0_SKILLS_DIR === undefined ? null : resolve(env.SANDBOX0_SKILLS_DIR),
    egressAllowPrivate: env.SANDBOX0_EGRESS_ALLOW_PRIVATE,
    egressPorts: env.SANDBOX0_EGRESS_PORTS,
    egressBlockedHosts: env.SANDBOX0_EGRESS_BLOCKED_HOSTS,
    packageHosts: env.SANDBOX0_PACKAGE_HOSTS,
    packageEnvironment: pick(environment, (name) => PACKAGE_VARIABLE.test(name)),
    packageMirrors: pick(environment, (name, value) => MIRROR_VARIABLE.test(name) && !value.includes("@")),
    images: { defaultRegistry: env.SANDBOX0_IMAGE_REGISTRY ?? null, plainHttp: env.SANDBOX0_IMAGE_PLAIN_HTTP },
    judgeModel: env.SANDBOX0_JUDGE_MODEL,
    webSearch,
    telemetry: { endpoint: env.OTEL_EXPORTER_OTLP_ENDPOINT, headers: env.OTEL_EXPORTER_OTLP_HEADERS ?? {} },
    models: models.models,
    ...overrides,
  };
}

/** What each search provider is reached at, unless another address is given; SearXNG is the operator's own. */
const WEB_SEARCH_URLS = { brave: "https://api.search.brave.com", tavily: "https://api.tavily.com", searxng: undefined };

function parseWebSearch(
  provider: WebSearchConfig["provider"] | undefined,
  address: string | undefined,
  apiKey: string | undefined,
): WebSearchConfig | null | { problem: string } {
  if (provider === undefined) return null;
  const baseUrl = (address ?? WEB_SEARCH_URLS[provider])?.replace(/\/+$/, "");
  if (baseUrl === undefined) return { problem: `SANDBOX0_WEB_SEARCH_URL: must be set for ${provider}` };
  if (provider !== "searxng" && apiKey === undefined) return { problem: `SANDBOX0_WEB_SEARCH_KEY: must be set for ${provider}` };
  return { provider, baseUrl, key: apiKey };
}

function parseBlobs(text: string | undefined, dataDir: string): Config["blobs"] {
  if (text?.startsWith("s3://")) return { type: "s3", url: text };
  return { type: "directory", path: text === undefined ? join(dataDir, "blobs") : resolve(text) };
}

/** Hex, base64, or `file:` and the path of a file that holds one of them. */
function pick(environment: Environment, isWanted: (name: string, value: string) => boolean): Record<string, string> {
  const entries = Object.entries(environment).flatMap(([name, value]) =>
    value !== undefined && isWanted(name, value) ? [[name, value]] : [],
  );
  return Object.fromEntries(entries);
}

function parseMasterKey(text: string, context: z.RefinementCtx): Buffer {
  const refuse = (message: string): never => {
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  };
  let encoded = text;
  if (text.startsWith("file:")) {
    try {
      encoded = readFileSync(text.slice("file:".length), "utf8").trim();
    } catch (error) {
      return refuse(`the file cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const bytes = /^[0-9a-f]{64}$/i.test(encoded) ? Buffer.from(encoded, "hex") : Buffer.from(encoded, "base64");
  if (bytes.length !== MASTER_KEY_BYTES)
    return refuse(`must be ${MASTER_KEY_BYTES} bytes in hex or base64, or file:<path> of a file with them`);
  return bytes;
}

/** `name=value,name=value` with URL-encoded values, as OpenTelemetry defines it. */
function parseHeaders(text: string, context: z.RefinementCtx): Record<string, string> {
  const pairs = text.split(",").map((pair) => /^\s*([^=\s]+)\s*=(.*)$/.exec(pair));
  if (pairs.some((pair) => pair === null)) {
    context.addIssue({ code: "custom", message: "must be name=value pairs, separated by commas" });
    return z.NEVER;
  }
  return Object.fromEntries(pairs.map((pair) => [pair?.[1], decodeURIComponent((pair?.[2] ?? "").trim())]));
}

function isNetwork(text: string): boolean {
  const [address = "", prefix, ...rest] = text.split("/");
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128));
}
