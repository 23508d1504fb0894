import { createModelCatalogue, type ModelCatalogue } from "../resources/models/model-catalogue.ts";
import { KNOWN_MODELS } from "../resources/models/known-models.ts";
import type { Models } from "./models.ts";

/** The operator's models first, then those the SDK names. A prefix entry names no model of its own. */
export function catalogueOf(models: Models): ModelCatalogue {
  const own = models.entries
    .filter((entry) => !entry.id.endsWith("*"))
    .map((entry) => ({
      id: entry.id,
      displayName: entry.displayName ?? entry.id,
      aliases: [],
      releasedAt: null,
      line: null,
      lifecycle: "active" as const,
      contextWindow: entry.provider.contextWindow,
      outputTokensMax: entry.provider.outputTokensMax,
      efforts: ["low", "medium", "high", "xhigh", "max"] as const,
      effortDefault: null,
      speeds: ["standard", "fast"] as const,
      imageInput: true,
      pdfInput: true,
    }));
  return createModelCatalogue([...own, ...KNOWN_MODELS]);
}
