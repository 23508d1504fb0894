import { type Effort, type ModelConfig, type ModelInfo, type ModelParams, type Speed, invalidRequest } from "@sandbox0/protocol";

/** What this server knows about a model. The operator's models file adds to and replaces what is built in. */
export interface ModelEntry {
  id: string;
  displayName: string;
  /** Other names of the same model; `GET /v1/models/{alias}` resolves them. */
  aliases: readonly string[];
  releasedAt: Date | null;
  line: ModelInfo["line"];
  lifecycle: ModelInfo["lifecycle"];
  /** Tokens; `null` when unknown. */
  contextWindow: number | null;
  outputTokensMax: number | null;
  efforts: readonly Effort[];
  /** Of an agent that names none; `null`: none is sent to the provider, whose own default holds. */
  effortDefault: Effort | null;
  speeds: readonly Speed[];
  imageInput: boolean;
  pdfInput: boolean;
}

export interface ModelCatalogue {
  /** Newest release first. */
  readonly entries: readonly ModelEntry[];
  /** By id or alias. */
  find(id: string): ModelEntry | undefined;
  /**
   * Resolves what a client sent (contract §3.1). `stored` is the agent's model before an update: its effort is kept when
   * the id stays and none is given. A model that is not in the catalogue is taken as it is: its provider will judge.
   * @throws ApiError when the model does not support the effort or the speed
   */
  resolve(params: ModelParams, field: string, stored?: ModelConfig): ModelConfig;
}

/** `entries`: newest release first. An id may be there twice: the first one counts, so the operator's go before the built-in ones. */
export function createModelCatalogue(entries: readonly ModelEntry[]): ModelCatalogue {
  const sorted = [...new Map([...entries].reverse().map((entry) => [entry.id, entry])).values()].reverse();
  const byName = new Map<string, ModelEntry>();
  for (const entry of sorted) for (const alias of entry.aliases) byName.set(alias, entry);
  for (const entry of sorted) byName.set(entry.id, entry);
  const find = (id: string): ModelEntry | undefined => byName.get(id);
  return {
    entries: sorted,
    find,
    resolve(params, field, stored) {
      const sent = typeof params === "string" ? { id: params } : params;
      const entry = find(sent.id);
      const kept = stored?.id === sent.id ? stored.effort?.type : undefined;
      const asked = typeof sent.effort === "object" ? sent.effort?.type : sent.effort;
      const effort = asked ?? kept ?? entry?.effortDefault;
      const speed = sent.speed ?? "standard";
      if (asked && entry && !entry.efforts.includes(asked)) {
        throw invalidRequest(
          `${field}.effort: "${asked}" is not supported by ${sent.id}; supported are ${entry.efforts.join(", ") || "none"}`,
        );
      }
      if (entry && !entry.speeds.includes(speed))
        throw invalidRequest(`${field}.speed: "${speed}" is not supported by ${sent.id}`);
      return {
        id: sent.id,
        ...(effort ? { effort: { type: effort } } : {}),
        speed,
        ...(sent.inference_geo ? { inference_geo: sent.inference_geo } : {}),
      };
    },
  };
}

const support = (supported: boolean): { supported: boolean } => ({ supported });

/** A model as the API shows it (contract §14). What this server does not offer (batches, fallbacks) reads unsupported. */
export function describeModel(entry: ModelEntry): ModelInfo {
  const effort = (level: Effort): { supported: boolean } => support(entry.efforts.includes(level));
  return {
    id: entry.id,
    type: "model",
    display_name: entry.displayName,
    // "May be set to an epoch value if the release date is unknown" (contract §14).
    created_at: (entry.releasedAt ?? new Date(0)).toISOString(),
    lifecycle: entry.lifecycle,
    deprecated_at: null,
    retires_at: null,
    line: entry.line,
    max_input_tokens: entry.contextWindow,
    max_tokens: entry.outputTokensMax,
    allowed_fallback_models: [],
    capabilities: {
      batch: support(false),
      citations: support(false),
      code_execution: support(false),
      compaction: null,
      context_management: {
        supported: false,
        clear_thinking_20251015: null,
        clear_tool_uses_20250919: null,
        compact_20260112: null,
      },
      effort: {
        supported: entry.efforts.length > 0,
        low: effort("low"),
        medium: effort("medium"),
        high: effort("high"),
        xhigh: effort("xhigh"),
        max: effort("max"),
      },
      image_input: support(entry.imageInput),
      pdf_input: support(entry.pdfInput),
      server_tools: { supported: false, code_execution: support(false), web_search: support(false) },
      structured_outputs: support(false),
      thinking: {
        supported: entry.efforts.length > 0,
        types: {
          adaptive: support(entry.efforts.length > 0),
          between_tools: support(false),
          disabled: support(true),
          enabled: support(false),
        },
      },
    },
  };
}
