import type { AssistantMessage } from "@earendil-works/pi-ai";
import type { RefusalDetails } from "@sandbox0/protocol";

/** What pi-ai does not carry over from the provider's own stream events. */
export interface StreamObserver {
  /** For `onProviderStreamEvent`. */
  see(event: unknown): void;
  /** Why the model declined, or `null`. @param response the finished or failed response */
  refusal(response: AssistantMessage): RefusalDetails | null;
  /** The response ended in a way that is an end to us and an error to pi-ai: the context window is full. */
  windowExceeded(): boolean;
  /** OpenAI's refusal text, which pi-ai keeps only for the Responses API. */
  refusalText(): string;
}

interface ProviderEvent {
  type?: string;
  delta?:
    | string
    | { stop_reason?: string | null; stop_details?: { category?: string | null; explanation?: string | null } | null };
  choices?: { delta?: { refusal?: string | null } }[];
}

const CATEGORIES = ["cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"] as const;
/** Stop reasons of all three APIs that mean that the model or its filter declined. */
const REFUSAL_STOPS: ReadonlySet<string> = new Set(["refusal", "sensitive", "content_filter", "incomplete.content_filter"]);

export function createStreamObserver(): StreamObserver {
  let stopReason: string | null = null;
  let details: { category?: string | null; explanation?: string | null } | null = null;
  let refusalText = "";
  return {
    see(raw) {
      const event = raw as ProviderEvent;
      if (event.type === "message_delta" && typeof event.delta === "object") {
        stopReason = event.delta.stop_reason ?? stopReason;
        details = event.delta.stop_details ?? details;
      } else if (event.type === "response.refusal.delta" && typeof event.delta === "string") {
        refusalText += event.delta;
      } else {
        refusalText += event.choices?.[0]?.delta?.refusal ?? "";
      }
    },
    refusal(response) {
      const stop = stopReason ?? response.rawStopReason ?? "";
      if (refusalText === "" && !REFUSAL_STOPS.has(stop)) return null;
      const category = CATEGORIES.find((known) => known === details?.category) ?? null;
      const explanation = details?.explanation ?? (refusalText === "" ? null : refusalText);
      return { type: "refusal", category, explanation };
    },
    windowExceeded: () => stopReason === "model_context_window_exceeded",
    refusalText: () => refusalText,
  };
}
