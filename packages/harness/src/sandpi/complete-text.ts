import { createId } from "@sandbox0/protocol";
import type { ProviderConfig, Turn, TurnError } from "../port.ts";
import type { ProviderApis } from "./provider-apis.ts";
import type { ProviderHttp } from "./provider-http.ts";
import { requestModel } from "./request-model.ts";
import { createTranscript } from "../loop/transcript.ts";

/** One question to a model, outside of any session. */
export interface TextQuestion {
  model: string;
  provider: ProviderConfig;
  system: string;
  prompt: string;
  /** Aborting cuts the connection. */
  signal: AbortSignal;
}

/** The model gave no answer; `error` is fit for a log, without the key. */
export class CompletionFailed extends Error {
  readonly code = "completion_failed";
  readonly error: TurnError | null;
  constructor(message: string, error: TurnError | null = null) {
    super(message);
    this.name = "CompletionFailed";
    this.error = error;
  }
}

/** Little thinking where it is otherwise much; an unknown model of OpenAI's kind may take no effort at all. */
function modelOf({ model, provider }: TextQuestion): Turn["agent"]["model"] {
  return provider.api === "anthropic-messages" ? { id: model, effort: "low" } : { id: model };
}

/** Asks once, without tools, the way a session's turn asks. @throws CompletionFailed */
export async function completeText(question: TextQuestion, apis: ProviderApis, http: ProviderHttp): Promise<string> {
  const turn: Turn = {
    sessionId: "",
    threadId: createId("thread"),
    agent: { name: "judge", system: question.system, model: modelOf(question), tools: [] },
    provider: question.provider,
    history: [],
    runnable: [],
  };
  const content = [{ type: "text" as const, text: question.prompt }];
  const event = { id: createId("event"), type: "user.message" as const, content, processed_at: new Date().toISOString() };
  const effects = { signal: question.signal, preview: () => undefined, newEventId: () => createId("event") };
  const answer = await requestModel(turn, createTranscript([{ event }]), effects, apis, http);
  if (answer.type === "aborted") throw new CompletionFailed("the request was cut");
  if (answer.type === "failed") throw new CompletionFailed(answer.error.message, answer.error);
  if (answer.refusal !== null) throw new CompletionFailed("the model declined to answer");
  return (answer.step.message?.content ?? []).map((block) => (block.type === "text" ? block.text : "")).join("");
}
