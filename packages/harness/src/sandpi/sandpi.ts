import { type Harness, TurnStopped } from "../port.ts";
import { completeText, type TextQuestion } from "./complete-text.ts";
import { loadProviderApis, type ProviderApis } from "./provider-apis.ts";
import type { Dial } from "./guarded-agents.ts";
import { createProviderHttp, PROVIDER_TIMEOUTS, type ProviderTimeouts } from "./provider-http.ts";
import { requestModel } from "./request-model.ts";
import { runTurn } from "../loop/run-turn.ts";

export interface SandpiOptions {
  timeouts?: Partial<ProviderTimeouts>;
  /** Opens connections to guarded providers, or refuses; without it they are refused all. */
  dial?: Dial;
}

export interface Sandpi extends Harness {
  readonly name: "sandpi";
  /** Loads the provider modules, so that no turn waits for them. A turn that comes first loads them itself. */
  warmUp(): Promise<void>;
  /** Asks a model once, over the same connections, for what is no session's turn. @throws CompletionFailed */
  completeText(question: TextQuestion): Promise<string>;
  /** Closes the kept connections. For shutdown, after the last turn. */
  close(): void;
}

/** The resident harness (design §5): the loop runs in the server, tools run where the effects say. */
export function createSandpi(options: SandpiOptions = {}): Sandpi {
  const http = createProviderHttp({ ...PROVIDER_TIMEOUTS, ...options.timeouts }, options.dial);
  let loading: Promise<ProviderApis> | null = null;
  const apis = (): Promise<ProviderApis> => (loading ??= loadProviderApis());
  return {
    name: "sandpi",
    capabilities: { placement: "sandbox-as-tool", apis: ["anthropic-messages", "openai-responses", "openai-completions"] },
    async runTurn(turn, effects) {
      const loaded = await apis();
      try {
        return await runTurn(turn, effects, (...asked) => requestModel(...asked, loaded, http));
      } catch (error) {
        if (error instanceof TurnStopped) return { type: "stopped" };
        throw error;
      }
    },
    completeText: async (question) => completeText(question, await apis(), http),
    async warmUp() {
      await apis();
    },
    close: http.close,
  };
}
