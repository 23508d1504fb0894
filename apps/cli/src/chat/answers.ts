import type { Conversation, ToolCall } from "./conversation.ts";
import type { Lines } from "./lines.ts";
import type { Screen } from "./screen.ts";

export type Answer =
  | { type: "user.tool_confirmation"; tool_use_id: string; result: "allow" | "deny"; deny_message?: string }
  | {
      type: "user.custom_tool_result";
      custom_tool_use_id: string;
      content: { type: "text"; text: string }[];
      is_error: boolean;
    };

const APPROVAL_PROMPT = "Allow? y, n, or why not: ";
const RESULT_PROMPT = "Its result (begin with ! for an error): ";

/**
 * Asks for all that the session waits for. Another client may answer first, or interrupt: then nothing is asked any more.
 * @returns the answers, to be sent together
 */
export async function askAll(
  conversation: Conversation,
  screen: Screen,
  lines: Lines,
): Promise<Answer[] | "cancelled" | "end of input"> {
  const cancelled = new AbortController();
  const asked = conversation.waitingFor;
  const stop = conversation.onChange(() => {
    const waiting = new Set(conversation.waitingFor.map((call) => call.id));
    if (!asked.every((call) => waiting.has(call.id))) cancelled.abort();
  });
  try {
    const answers: Answer[] = [];
    for (const call of asked) {
      const answer = await ask(call, screen, lines, cancelled.signal);
      if (cancelled.signal.aborted) return "cancelled";
      if (answer === undefined) return "end of input";
      answers.push(answer);
    }
    return answers;
  } finally {
    stop();
  }
}

/** @returns `undefined` when no line came */
async function ask(call: ToolCall, screen: Screen, lines: Lines, signal: AbortSignal): Promise<Answer | undefined> {
  const isCustom = call.type === "agent.custom_tool_use";
  const prompt = isCustom ? RESULT_PROMPT : APPROVAL_PROMPT;
  screen.question(call);
  if (!lines.isTerminal) screen.note(prompt.trim());
  for (;;) {
    const line = await lines.next(prompt, signal);
    if (line === undefined) return undefined;
    if (isCustom) return resultOf(call.id, line);
    const word = line.trim();
    if (word !== "") return decisionOf(call.id, word);
  }
}

function decisionOf(id: string, word: string): Answer {
  const answer = { type: "user.tool_confirmation", tool_use_id: id } as const;
  if (/^(y|yes)$/i.test(word)) return { ...answer, result: "allow" };
  return /^(n|no)$/i.test(word) ? { ...answer, result: "deny" } : { ...answer, result: "deny", deny_message: word };
}

function resultOf(id: string, line: string): Answer {
  const isError = line.startsWith("!");
  const text = isError ? line.slice(1).trim() : line;
  return {
    type: "user.custom_tool_result",
    custom_tool_use_id: id,
    content: text === "" ? [] : [{ type: "text", text }],
    is_error: isError,
  };
}
