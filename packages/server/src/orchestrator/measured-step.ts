import type { StepTiming } from "@sandbox0/harness";
import type { ModelUsage } from "@sandbox0/protocol";
import type { MeasuredRequests } from "../policy/measured-requests.ts";

/** A model request as the harness tells of it. */
interface Told {
  usage: ModelUsage | null;
  timing: StepTiming;
}

interface Measured extends Told {
  /** As the provider asked when it failed; `null`: it did not say. */
  retryAfterMs: number | null;
}

/**
 * What the model gateway saw of the request, where it saw it: a program in a sandbox says late when its answer began, and of
 * one that failed it says nothing. The harness's own word is what is left for usage that the provider did not give there.
 */
export function measuredStep(measured: Pick<MeasuredRequests, "take">, sessionId: string, told: Told): Measured {
  const span = measured.take(sessionId);
  if (span === null) return { ...told, retryAfterMs: null };
  const usage = {
    input_tokens: span.inputTokens,
    output_tokens: span.outputTokens,
    cache_creation_input_tokens: span.cacheWriteTokens,
    cache_read_input_tokens: span.cacheReadTokens,
  };
  const timing = { firstTokenMs: span.firstTokenMs, totalMs: span.totalMs };
  const { retryAfterMs } = span;
  return { usage: Object.values(usage).some((count) => count > 0) ? usage : told.usage, timing, retryAfterMs };
}
