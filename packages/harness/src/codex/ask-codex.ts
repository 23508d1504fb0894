import { SandboxError } from "@sandbox0/sandbox";
import type { ModelAnswer } from "../loop/model-answer.ts";
import type { Transcript } from "../loop/transcript.ts";
import { type Effects, type HarnessProgram, type Turn, TurnStopped } from "../port.ts";
import { ProgramFailed } from "./app-server.ts";
import type { Conversation, Question } from "./conversation.ts";
import { createLaunch } from "./launch.ts";
import { FAST_TIER } from "./model-catalog.ts";
import { createPreviewer } from "./preview.ts";
import type { ProgramPool } from "./program-pool.ts";
import { createResponseReader } from "./read-response.ts";
import { type Target, toItems } from "./to-items.ts";
import { toStep } from "./translate.ts";
import { toTurnError } from "./turn-error.ts";
import { createWireNames } from "./wire-names.ts";

/** One turn's way to its program. */
export interface Asker {
  /** Starts the program while the turn does other things. What goes wrong with it, `ask` will tell. */
  prepare(turn: Turn, effects: Effects): void;
  ask(turn: Turn, transcript: Transcript, effects: Effects): Promise<ModelAnswer>;
}

const INSTRUCTIONS = "You are a helpful assistant.";

interface Opened {
  conversation: Conversation;
  token: string;
}

/**
 * Asks the model through the program. A program that fails is ended, and another one is given the whole conversation,
 * once a turn; after that the turn has failed.
 */
export function createAsker(pool: ProgramPool, program: HarnessProgram, modelIdleMs: number): Asker {
  let hasFailed = false;
  const open = async ({ agent, provider, threadId }: Turn, effects: Effects): Promise<Opened> => {
    const sandbox = await effects.openSandbox();
    const launch = createLaunch(program, agent.model.id, provider, sandbox.modelGateway, modelIdleMs);
    return { conversation: await pool.take(threadId, sandbox, launch), token: sandbox.modelGateway.apiKey };
  };
  return {
    // Only a head start, so its failure is nobody's yet: `ask` opens again behind it, and tells what fails then.
    prepare: (turn, effects) => void open(turn, effects).catch(() => undefined),
    async ask(turn, transcript, effects) {
      for (;;) {
        try {
          const opened = await untilAborted(open(turn, effects), effects.signal);
          return opened === null ? aborted() : await askOnce(opened, turn, transcript, effects);
        } catch (error) {
          if (effects.signal.aborted || error instanceof TurnStopped) return aborted();
          if (error instanceof SandboxError) return failedFor(error);
          if (!(error instanceof ProgramFailed)) throw error;
          pool.discard(turn.threadId);
          if (hasFailed) return failedFor(error);
          hasFailed = true;
        }
      }
    },
  };
}

/** @returns `null` after an abort; the promise goes on by itself */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | null> {
  const aborted = Promise.withResolvers<null>();
  const abort = (): void => aborted.resolve(null);
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  // Its failure is told by the race; after an abort nobody asks for it any more.
  promise.catch(() => undefined);
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** @throws ProgramFailed */
async function askOnce(
  { conversation, token }: Opened,
  turn: Turn,
  transcript: Transcript,
  effects: Effects,
): Promise<ModelAnswer> {
  const { agent, provider } = turn;
  const names = createWireNames(agent.tools.map((tool) => tool.name));
  const target: Target = { baseUrl: provider.baseUrl, model: agent.model.id, names };
  const question: Question = {
    items: toItems(transcript.items, target),
    instructions: agent.system ?? INSTRUCTIONS,
    model: agent.model.id,
    tools: agent.tools.map(({ name, description, inputSchema }) => {
      return { type: "function", name: names.toWire(name), description, inputSchema: inputSchema as never };
    }),
    ...(agent.model.effort === undefined ? {} : { effort: agent.model.effort }),
    ...(agent.model.speed === "fast" ? { serviceTier: FAST_TIER } : {}),
  };
  const previewer = createPreviewer(effects);
  const reader = createResponseReader(previewer);
  const end = await conversation.ask(question, reader, effects.signal);
  const timing = reader.timing();
  if (end === "aborted") return { type: "aborted", usage: null, timing };
  if (end.type === "failed") return { type: "failed", error: toTurnError(end.error, end.facts, token), usage: null, timing };
  const parts = { ...previewer.settle(), newEventId: effects.newEventId };
  return { type: "finished", ...toStep(end.response, parts, timing, target) };
}

const NO_TIME = { firstTokenMs: null, totalMs: 0 };

function aborted(): ModelAnswer {
  return { type: "aborted", usage: null, timing: NO_TIME };
}

function failedFor(error: ProgramFailed | SandboxError): ModelAnswer {
  const told = { kind: "unknown_error", message: error.message, disposition: "retryable" } as const;
  return { type: "failed", error: told, usage: null, timing: NO_TIME };
}
