import { randomUUID } from "node:crypto";
import type { Message } from "./translate.ts";

export interface TranscriptPlace {
  sessionId: string;
  cwd: string;
  model: string;
  /** Of the program. */
  version: string;
  now: Date;
}

/**
 * A conversation as Claude Code keeps one on disk (JSONL, one entry a message). Started with it, and told to go on with
 * an interrupted turn, the program sends it to the model as it is.
 */
export function writeTranscript(conversation: readonly Message[], place: TranscriptPlace): string {
  let parentUuid: string | null = null;
  const lines = conversation.map((message) => {
    const uuid = randomUUID();
    const entry = { parentUuid, ...entryOf(message, place), uuid };
    parentUuid = uuid;
    return `${JSON.stringify(entry)}\n`;
  });
  return lines.join("");
}

function entryOf(message: Message, { sessionId, cwd, model, version, now }: TranscriptPlace): Record<string, unknown> {
  const head = { isSidechain: false, userType: "external", entrypoint: "sdk-ts", cwd, sessionId, version };
  const common = { ...head, timestamp: now.toISOString(), type: message.role };
  if (message.role === "user") return { ...common, promptSource: "sdk", ...AS_WRITTEN, message };
  const calls = message.content.some(({ type }) => type === "tool_use");
  const stop = { stop_reason: calls ? "tool_use" : "end_turn", stop_sequence: null };
  // An id of its own: entries of one id are one response to the program.
  const response = { id: `msg_${randomUUID().replaceAll("-", "")}`, type: "message", model, ...stop, usage: NO_USAGE };
  return { ...common, message: { ...message, ...response } };
}

/** Neither commands nor files are looked for in a prompt. */
const AS_WRITTEN = { queueSkipSlashCommands: true, queueSkipAttachments: true };
const NO_USAGE = { input_tokens: 0, output_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 };
