import type { Effort, ModelInfo, Speed } from "@sandbox0/protocol";
import type { ModelEntry } from "./model-catalogue.ts";

/**
 * The models the official SDK names (contract §3.1), newest first. The API says of them what decides whether a request
 * is accepted; prices and providers are the operator's models file's business.
 */
const NO_EFFORT: readonly Effort[] = [];
const TO_MAX: readonly Effort[] = ["low", "medium", "high", "max"];
const WITH_XHIGH: readonly Effort[] = ["low", "medium", "high", "xhigh", "max"];
const STANDARD: readonly Speed[] = ["standard"];
const FAST: readonly Speed[] = ["standard", "fast"];

type Known = readonly [
  id: string,
  line: ModelInfo["line"],
  displayName: string,
  efforts: readonly Effort[],
  speeds: readonly Speed[],
  aliases?: readonly string[],
];

const KNOWN: readonly Known[] = [
  ["claude-fable-5-2", "fable", "Claude Fable 5.2", WITH_XHIGH, STANDARD],
  ["claude-haiku-5-5", "haiku", "Claude Haiku 5.5", WITH_XHIGH, STANDARD],
  ["claude-sonnet-5-5", "sonnet", "Claude Sonnet 5.5", WITH_XHIGH, STANDARD],
  ["claude-opus-5-5", "opus", "Claude Opus 5.5", WITH_XHIGH, FAST],
  ["claude-fable-5-1", "fable", "Claude Fable 5.1", WITH_XHIGH, STANDARD],
  ["claude-sonnet-5", "sonnet", "Claude Sonnet 5", WITH_XHIGH, STANDARD],
  ["claude-fable-5", "fable", "Claude Fable 5", WITH_XHIGH, STANDARD],
  ["claude-opus-5", "opus", "Claude Opus 5", WITH_XHIGH, FAST],
  ["claude-opus-4-8", "opus", "Claude Opus 4.8", WITH_XHIGH, FAST],
  ["claude-opus-4-7", "opus", "Claude Opus 4.7", WITH_XHIGH, FAST],
  ["claude-opus-4-6", "opus", "Claude Opus 4.6", TO_MAX, FAST],
  ["claude-sonnet-4-6", "sonnet", "Claude Sonnet 4.6", TO_MAX, STANDARD],
  ["claude-opus-4-5-20251101", "opus", "Claude Opus 4.5", TO_MAX, STANDARD, ["claude-opus-4-5"]],
  ["claude-haiku-4-5-20251001", "haiku", "Claude Haiku 4.5", NO_EFFORT, STANDARD, ["claude-haiku-4-5"]],
  ["claude-sonnet-4-5-20250929", "sonnet", "Claude Sonnet 4.5", NO_EFFORT, STANDARD, ["claude-sonnet-4-5"]],
];

/** Tokens. The operator's models file may say otherwise. */
const CONTEXT_WINDOW = 200_000;
const DATED = /-(\d{4})(\d{2})(\d{2})$/;

/** Only a dated id says when the model was released. */
function releaseDate(id: string): Date | null {
  const date = DATED.exec(id);
  return date ? new Date(`${date[1]}-${date[2]}-${date[3]}T00:00:00Z`) : null;
}

export const KNOWN_MODELS: readonly ModelEntry[] = KNOWN.map(([id, line, displayName, efforts, speeds, aliases = []]) => ({
  id,
  displayName,
  aliases,
  releasedAt: releaseDate(id),
  line,
  lifecycle: "active",
  contextWindow: CONTEXT_WINDOW,
  outputTokensMax: null,
  efforts,
  effortDefault: efforts.length > 0 ? "high" : null,
  speeds,
  imageInput: true,
  pdfInput: true,
}));
