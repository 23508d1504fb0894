import { readFileSync } from "node:fs";
import type { ProviderConfig } from "@sandbox0/harness";
import { z } from "zod";

type Api = ProviderConfig["api"];

/** Tokens that a price is for. */
const TOKENS_PER_PRICE = 1_000_000;

/** Of each kind of token: USD for a million, or how many. */
interface ListPrice {
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
}

/** A line of the models file with its provider. */
interface ModelEntry {
  /** A model id, or a prefix that ends in `*`. */
  id: string;
  displayName: string | null;
  provider: ProviderConfig;
  listPrice: ListPrice | null;
}

export interface Models {
  /** The models file's entries, in its order. */
  readonly entries: readonly ModelEntry[];
  /**
   * Who serves a model: its entry in the models file, the longest prefix entry that fits, or the vendor: Anthropic for
   * `claude*`, else OpenAI.
   * @throws ModelUnavailable when the vendor's key is missing; the message is fit for the session's log
   */
  resolve(modelId: string): ProviderConfig;
  /**
   * The same, at the provider that an LLM vault names. An address of its own is sent its own key or none, never one of the
   * server's, and is `guarded`.
   * @param apis those that the session's harness speaks (`apiOf`)
   * @throws ModelUnavailable when the vault has no key for the vendor's address, and the server has none either
   */
  resolveFor(modelId: string, vault: { baseUrl: string | null; apiKey: string | null }, apis?: readonly Api[]): ProviderConfig;
  /**
   * Over which API a model is served: what the models file or its name says; at a provider of the user's own, one that the
   * harness speaks: such a provider is named for the harness, and a model's name says nothing of it.
   */
  apiOf(modelId: string, provider: { isOwn: boolean; apis: readonly Api[] }): Api;
  /** What so many tokens cost by the models file, in USD; `null`: it has no price for the model. */
  costOf(modelId: string, tokens: ListPrice): number | null;
  /** Of whose kind a model's API is, as the GenAI semantic conventions name it. */
  providerNameOf(modelId: string): "anthropic" | "openai";
}

/** No provider is configured for a model. */
export class ModelUnavailable extends Error {
  readonly code = "model_unavailable";
  constructor(message: string) {
    super(message);
    this.name = "ModelUnavailable";
  }
}

/** What the provider part of the environment says; keys are never logged. */
export interface ProviderEnvironment {
  anthropicKey: string | undefined;
  anthropicUrl: string | undefined;
  openaiKey: string | undefined;
  openaiUrl: string | undefined;
}

const ANTHROPIC_URL = "https://api.anthropic.com";
const OPENAI_URL = "https://api.openai.com/v1";
/** Sent where no key is needed: clients and gateways want some value there. */
const NO_KEY = "none";
/** Tokens that every current model of the vendor takes; the models file knows better for each. */
const LIMITS: Readonly<Record<Api, { contextWindow: number; outputTokensMax: number }>> = {
  "anthropic-messages": { contextWindow: 200_000, outputTokensMax: 64_000 },
  "openai-responses": { contextWindow: 128_000, outputTokensMax: 16_384 },
  "openai-completions": { contextWindow: 128_000, outputTokensMax: 16_384 },
};

const API_NAMES = Object.keys(LIMITS) as Api[];

const httpUrl = z.url({ protocol: /^https?$/, error: "must be an http or https URL" });
const price = z.number().nonnegative();
const entrySchema = z.strictObject({
  id: z.string().min(1).max(256),
  display_name: z.string().min(1).optional(),
  api: z.enum(["anthropic-messages", "openai-responses", "openai-completions"]),
  base_url: httpUrl.optional(),
  /** Name of the environment variable with the key. */
  key_env: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "must be the name of an environment variable")
    .optional(),
  context_window: z.int().positive().optional(),
  max_output_tokens: z.int().positive().optional(),
  list_price: z
    .strictObject({ input: price, output: price, cache_read: price.optional(), cache_write: price.optional() })
    .optional(),
});
const fileSchema = z.strictObject({ models: z.array(entrySchema) });
type FileEntry = z.infer<typeof entrySchema>;

/**
 * Reads the models file: `{"models": [{"id", "api", "base_url", "key_env", "context_window", "max_output_tokens",
 * "list_price": {"input", "output", "cache_read", "cache_write"}, "display_name"}]}`; only `id` and `api` must be there.
 * `key` looks a variable of the environment up.
 * @returns the models, or what is wrong with the file
 */
export function readModels(
  path: string | undefined,
  environment: ProviderEnvironment,
  key: (name: string) => string | undefined,
): { models: Models } | { problems: string[] } {
  if (path === undefined) return { models: createModels([], environment) };
  const parsed = parseFile(path);
  if ("problems" in parsed) return parsed;
  const problems: string[] = [];
  const entries = parsed.entries.map((entry, index) => {
    if (parsed.entries.findIndex(({ id }) => id === entry.id) !== index)
      problems.push(`models[${index}].id: ${entry.id} is there twice`);
    if (entry.key_env !== undefined && key(entry.key_env) === undefined) {
      problems.push(`models[${index}].key_env: the variable ${entry.key_env} is not set`);
    }
    return toEntry(entry, environment, key);
  });
  return problems.length > 0 ? { problems } : { models: createModels(entries, environment) };
}

function parseFile(path: string): { entries: FileEntry[] } | { problems: string[] } {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    return { problems: [`${path} cannot be read as JSON: ${error instanceof Error ? error.message : String(error)}`] };
  }
  const parsed = fileSchema.safeParse(json);
  if (parsed.success) return { entries: parsed.data.models };
  return { problems: parsed.error.issues.map(({ path: at, message }) => `${pathText(at)}: ${message}`) };
}

function pathText(path: readonly PropertyKey[]): string {
  return (
    path.map((part, index) => (typeof part === "number" ? `[${part}]` : `${index === 0 ? "" : "."}${String(part)}`)).join("") ||
    "the file"
  );
}

function toEntry(entry: FileEntry, environment: ProviderEnvironment, key: (name: string) => string | undefined): ModelEntry {
  const vendor = vendorOf(entry.api, environment);
  // A vendor's key goes to the vendor's address only.
  const inherited = entry.base_url === undefined ? vendor.key : undefined;
  const limits = LIMITS[entry.api];
  const cost = entry.list_price;
  return {
    id: entry.id,
    displayName: entry.display_name ?? null,
    provider: {
      api: entry.api,
      baseUrl: normalizeBaseUrl(entry.api, entry.base_url ?? vendor.url),
      apiKey: (entry.key_env === undefined ? inherited : key(entry.key_env)) ?? NO_KEY,
      contextWindow: entry.context_window ?? limits.contextWindow,
      outputTokensMax: entry.max_output_tokens ?? limits.outputTokensMax,
    },
    listPrice: cost
      ? { input: cost.input, output: cost.output, cacheRead: cost.cache_read ?? 0, cacheWrite: cost.cache_write ?? 0 }
      : null,
  };
}

function createModels(entries: readonly ModelEntry[], environment: ProviderEnvironment): Models {
  const exact = new Map(entries.map((entry) => [entry.id, entry]));
  const prefixes = entries
    .filter(({ id }) => id.endsWith("*"))
    .map((entry) => ({ prefix: entry.id.slice(0, -1), entry }))
    .sort((a, b) => b.prefix.length - a.prefix.length);
  const find = (modelId: string): ModelEntry | undefined =>
    exact.get(modelId) ?? prefixes.find(({ prefix }) => modelId.startsWith(prefix))?.entry;
  const apiOf: Models["apiOf"] = (modelId, { isOwn, apis }) => {
    const api = find(modelId)?.provider.api ?? vendorApi(modelId);
    const [preferred = api] = apis;
    return isOwn && !apis.includes(api) ? preferred : api;
  };
  return {
    entries,
    apiOf,
    costOf(modelId, tokens) {
      const price = find(modelId)?.listPrice ?? null;
      if (price === null) return null;
      const kinds = ["input", "output", "cacheRead", "cacheWrite"] as const;
      return kinds.reduce((usd, kind) => usd + (tokens[kind] * price[kind]) / TOKENS_PER_PRICE, 0);
    },
    providerNameOf: (modelId) =>
      (find(modelId)?.provider.api ?? vendorApi(modelId)) === "anthropic-messages" ? "anthropic" : "openai",
    resolve: (modelId) => find(modelId)?.provider ?? vendorProvider(vendorApi(modelId), modelId, environment),
    resolveFor(modelId, { baseUrl, apiKey }, apis = API_NAMES) {
      const known = find(modelId)?.provider;
      if (baseUrl === null && apiKey === null) return known ?? vendorProvider(vendorApi(modelId), modelId, environment);
      const api = apiOf(modelId, { isOwn: true, apis });
      const keyless = { ...environment, anthropicKey: NO_KEY, openaiKey: NO_KEY };
      const base = known?.api === api ? known : vendorProvider(api, modelId, keyless);
      if (baseUrl !== null && !URL.canParse(baseUrl))
        throw new ModelUnavailable("The base URL of this session's LLM vault is not a URL.");
      if (baseUrl === null) return { ...base, apiKey: apiKey ?? base.apiKey };
      return { ...base, baseUrl: normalizeBaseUrl(base.api, baseUrl), apiKey: apiKey ?? NO_KEY, guarded: true };
    },
  };
}

function vendorApi(modelId: string): Api {
  return modelId.startsWith("claude") ? "anthropic-messages" : "openai-responses";
}

function vendorProvider(api: Api, modelId: string, environment: ProviderEnvironment): ProviderConfig {
  const vendor = vendorOf(api, environment);
  if (vendor.key === undefined && !vendor.ownUrl) {
    throw new ModelUnavailable(`The model "${modelId}" cannot be reached: this server has no ${vendor.variable}.`);
  }
  return { api, baseUrl: normalizeBaseUrl(api, vendor.url), apiKey: vendor.key ?? NO_KEY, ...LIMITS[api] };
}

function vendorOf(api: Api, environment: ProviderEnvironment) {
  const { anthropicKey, anthropicUrl, openaiKey, openaiUrl } = environment;
  return api === "anthropic-messages"
    ? { key: anthropicKey, url: anthropicUrl ?? ANTHROPIC_URL, ownUrl: anthropicUrl !== undefined, variable: "ANTHROPIC_API_KEY" }
    : { key: openaiKey, url: openaiUrl ?? OPENAI_URL, ownUrl: openaiUrl !== undefined, variable: "OPENAI_API_KEY" };
}

/**
 * People write base URLs with and without a slash or `/v1` at the end. Here Anthropic's is without, because its paths begin
 * with `/v1`, and OpenAI's has a path, `/v1` unless another is given.
 */
function normalizeBaseUrl(api: Api, url: string): string {
  const bare = url.replace(/\/+$/, "");
  if (api === "anthropic-messages") return bare.replace(/\/v1$/, "");
  return new URL(bare).pathname === "/" ? `${bare}/v1` : bare;
}
