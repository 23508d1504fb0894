import type { Api, AssistantMessageEventStream, Model, StreamOptions } from "@earendil-works/pi-ai";
import type { TranscriptContext } from "@earendil-works/pi-ai/utils/transcript";
import type { ProviderConfig } from "../port.ts";
import type { Catalog } from "./provider-model.ts";

type ApiStream = (
  model: Model<Api>,
  context: TranscriptContext,
  options: StreamOptions & Record<string, unknown>,
) => AssistantMessageEventStream;

export interface ProviderApis {
  streams: Readonly<Record<ProviderConfig["api"], ApiStream>>;
  catalog: Catalog;
  normalizeContext: typeof import("@earendil-works/pi-ai/utils/transcript").normalizeContext;
}

/**
 * The vendors' SDKs behind pi-ai cost a few hundred milliseconds to load: not at start, and not in the first turn
 * (`warmUp`). Only the three API modules and two catalogues are loaded, not pi-ai's whole provider list.
 */
export async function loadProviderApis(): Promise<ProviderApis> {
  const [messages, responses, completions, anthropic, openai, models, transcript] = await Promise.all([
    import("@earendil-works/pi-ai/api/anthropic-messages"),
    import("@earendil-works/pi-ai/api/openai-responses"),
    import("@earendil-works/pi-ai/api/openai-completions"),
    import("@earendil-works/pi-ai/providers/anthropic.models"),
    import("@earendil-works/pi-ai/providers/openai.models"),
    import("@earendil-works/pi-ai/models"),
    import("@earendil-works/pi-ai/utils/transcript"),
  ]);
  return {
    streams: {
      "anthropic-messages": messages.stream as unknown as ApiStream,
      "openai-responses": responses.stream as unknown as ApiStream,
      "openai-completions": completions.stream as unknown as ApiStream,
    },
    catalog: {
      anthropic: anthropic.ANTHROPIC_MODELS as unknown as Catalog["anthropic"],
      openai: openai.OPENAI_MODELS as unknown as Catalog["openai"],
      clamp: models.clampThinkingLevel,
    },
    normalizeContext: transcript.normalizeContext,
  };
}
