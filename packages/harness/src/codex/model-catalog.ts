/** Longer tool results are cut by the program. Ours are bounded by the tools; none comes near. */
const RESULT_BYTES_MAX = 16 * 1024 * 1024;

/** What OpenAI calls the speed `fast` of a model. */
export const FAST_TIER = "priority";

/**
 * What Codex is to know of the model, in place of its own list of models: the same for every model that a provider may
 * have, and with none of the tools that it would give to the models it knows.
 * @param contextWindow tokens
 */
export function modelCatalog(model: string, contextWindow: number): object {
  const efforts = ["low", "medium", "high", "xhigh", "max"];
  const entry = {
    slug: model,
    display_name: model,
    description: null,
    default_reasoning_level: null,
    supported_reasoning_levels: efforts.map((effort) => ({ effort, description: effort })),
    shell_type: "disabled",
    visibility: "list",
    supported_in_api: true,
    priority: 1,
    availability_nux: null,
    upgrade: null,
    base_instructions: "",
    model_messages: null,
    // Without it, no effort is sent.
    supports_reasoning_summaries: true,
    default_reasoning_summary: "none",
    support_verbosity: false,
    default_verbosity: null,
    apply_patch_tool_type: null,
    truncation_policy: { mode: "bytes", limit: RESULT_BYTES_MAX },
    supports_parallel_tool_calls: true,
    supports_image_detail_original: false,
    context_window: contextWindow,
    max_context_window: contextWindow,
    auto_compact_token_limit: null,
    effective_context_window_percent: 100,
    experimental_supported_tools: [],
    input_modalities: ["text", "image"],
    supports_search_tool: false,
    service_tiers: [{ id: FAST_TIER, name: FAST_TIER, description: FAST_TIER }],
  };
  return { models: [entry] };
}
