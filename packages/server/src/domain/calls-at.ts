import type { NewEvent } from "./head.ts";

/** A tool call as it stood at some point of the log. */
export interface CallAt {
  id: string;
  /** Of the event that is or will be its result. */
  resultId: string;
  answer: Record<string, unknown> | null;
  answerId: string | null;
  confirmed: "allow" | "deny" | null;
  finished: boolean;
}

/**
 * What had become of calls up to a point, from the log alone: what happened to them later is not theirs there.
 * @param events everything up to the point that answers calls, in order
 */
export function callsAt(
  calls: readonly { id: string; kind: "builtin" | "mcp" | "custom" }[],
  events: readonly NewEvent[],
  newResultId: () => string,
): CallAt[] {
  return calls.map(({ id, kind }) => {
    const answer = events.find(({ type, fields }) => answeredCall(type, fields) === id);
    const result = events.find(({ type, fields }) => resultOf(type, fields) === id);
    const finished = result !== undefined || (kind === "custom" && answer !== undefined);
    return {
      id,
      resultId: result?.id ?? newResultId(),
      answer: answer === undefined ? null : answerOf(answer),
      answerId: answer?.id ?? null,
      confirmed: answer?.type === "user.tool_confirmation" ? (answer.fields.result as "allow" | "deny") : null,
      finished,
    };
  });
}

function answeredCall(type: string, fields: NewEvent["fields"]): unknown {
  if (type === "user.tool_confirmation") return fields.tool_use_id;
  return type === "user.custom_tool_result" ? fields.custom_tool_use_id : undefined;
}

function resultOf(type: string, fields: NewEvent["fields"]): unknown {
  if (type === "agent.tool_result") return fields.tool_use_id;
  return type === "agent.mcp_tool_result" ? fields.mcp_tool_use_id : undefined;
}

/** As `admit` keeps it, to tell an identical retry from a different answer. */
function answerOf({ type, fields }: NewEvent): Record<string, unknown> {
  return type === "user.tool_confirmation"
    ? { result: fields.result, deny_message: fields.deny_message ?? null }
    : { content: fields.content ?? null, is_error: fields.is_error ?? null };
}
