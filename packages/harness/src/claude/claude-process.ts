import { randomUUID } from "node:crypto";
import type { Query, SDKMessage, SDKUserMessage } from "@anthropic-ai/claude-agent-sdk";
import type { HarnessSandbox, Turn } from "../port.ts";
import { createInput, type Input } from "./input.ts";
import { launchOptions } from "./launch.ts";
import type { ClaudeSdk } from "./load-sdk.ts";
import type { Progress, ResponseReader, StreamEvent } from "./read-response.ts";
import { SandboxedProgram } from "./sandboxed-program.ts";
import { createToolServer, isSpeakable } from "./tool-server.ts";
import { writeTranscript } from "./transcript-file.ts";
import { type Block, canonical, type Message, sayable } from "./translate.ts";
import type { ProgramError } from "./turn-error.ts";
import { WORKING_DIR, writeConversation } from "./write-conversation.ts";

export const CLAUDE_TIMES = {
  /** Until the program has started and asks the model; a loaded machine takes seconds. */
  startMsMax: 60_000,
  /** Between two messages while the model answers: a provider may think long before its first token. */
  silenceMsMax: 15 * 60_000,
  /** From a finished response until the program says that its turn is over. */
  settleMsMax: 10_000,
  /** How long a program is kept after its turn; its sandbox is paused later than that. */
  idleMsMax: 20_000,
} as const;
export type ClaudeTimes = Readonly<Record<keyof typeof CLAUDE_TIMES, number>>;

export type Ending = { type: "finished" } | { type: "failed"; error: ProgramError };

/** The program ended, hung, or said what it must not: start a new one. */
export class ProgramLost extends Error {
  readonly code = "program_lost";
}

export interface ProcessDeps {
  sdk: ClaudeSdk;
  /** Of the program. */
  version: string;
  times: ClaudeTimes;
}

interface Asked {
  reader: ResponseReader;
  outcome: PromiseWithResolvers<Ending>;
  timer: NodeJS.Timeout;
}

/**
 * One Claude Code in the sandbox. It asks the model only when it is told to: for the conversation it was started with, for
 * a user message, or after the results of its calls. What it knows is compared with the log each time.
 */
export class ClaudeProcess {
  readonly sandboxId: string;
  readonly ended: Promise<void>;
  readonly #times: ClaudeTimes;
  readonly #program: Promise<SandboxedProgram>;
  readonly #input: Input<SDKUserMessage>;
  readonly #query: Query;
  readonly #model: string;
  readonly #setup: string;
  /** `canonical` of each message it has. */
  readonly #known: string[];
  readonly #results = new Map<string, PromiseWithResolvers<Block>>();
  #openCalls: string[] = [];
  #asked: Asked | null = null;
  #settled = Promise.withResolvers<void>();
  #lost: ProgramLost | null = null;
  #running: SandboxedProgram | null = null;

  constructor({ sdk, version, times }: ProcessDeps, turn: Turn, sandbox: HarnessSandbox, conversation: readonly Message[]) {
    this.#times = times;
    this.sandboxId = sandbox.id;
    this.#model = turn.agent.model.id;
    this.#setup = setupOf(turn);
    this.#known = conversation.map(canonical);
    const sessionId = randomUUID();
    const place = { sessionId, cwd: WORKING_DIR, model: this.#model, version, now: new Date() };
    const transcript = writeTranscript(conversation, place);
    const spawned = Promise.withResolvers<SandboxedProgram>();
    this.#program = spawned.promise;
    this.#input = createInput();
    this.#query = sdk.query({
      prompt: this.#input.messages,
      options: launchOptions({
        turn,
        sandbox,
        sessionId,
        toolServer: createToolServer(sdk, turn.agent.tools, (id) => this.#resultOf(id).promise),
        afterCalls: async (hook) => {
          const ids = hook.hook_event_name === "PostToolBatch" ? hook.tool_calls.map((call) => call.tool_use_id) : [];
          await Promise.all(ids.map((id) => this.#resultOf(id).promise));
          return {};
        },
        spawn: (options) => {
          // While the program starts; it reads nothing of it before it is told to begin.
          const ready = writeConversation(sandbox, { threadId: turn.threadId, sessionId }, transcript);
          const env = Object.fromEntries(Object.entries(options.env).filter((entry): entry is [string, string] => !!entry[1]));
          const program = new SandboxedProgram(
            sandbox.exec([options.command, ...options.args], { env, cwd: WORKING_DIR }),
            ready,
          );
          if (this.#lost !== null) program.kill("SIGKILL");
          this.#running = program;
          spawned.resolve(program);
          return program;
        },
      }),
    });
    this.ended = this.#pump();
    void sandbox.gone.then(() => this.stop());
  }

  /** Whether it can go on to this conversation as it is: nothing lost, nothing changed, one message more. */
  canProceed(turn: Turn, sandboxId: string, conversation: readonly Message[]): boolean {
    if (this.#lost !== null || sandboxId !== this.sandboxId || this.#setup !== setupOf(turn)) return false;
    if (conversation.length !== this.#known.length + 1) return false;
    if (!this.#known.every((known, index) => known === canonical(conversation[index]))) return false;
    const next = conversation.at(-1);
    if (next?.role !== "user") return false;
    const results = next.content.filter(({ type }) => type === "tool_result");
    if (this.#openCalls.length === 0) return results.length === 0;
    const ids = results.map((result) => String(result.tool_use_id));
    return ids.length === next.content.length && ids.join() === this.#openCalls.join() && results.every(isSpeakable);
  }

  /** Gives it the last message of a conversation that `canProceed`. @throws ProgramLost */
  async proceed(conversation: readonly Message[]): Promise<void> {
    const next = conversation.at(-1);
    if (next === undefined) throw new Error("there is nothing to go on with");
    this.#known.push(canonical(next));
    if (this.#openCalls.length > 0) {
      this.#openCalls = [];
      for (const result of next.content) this.#resultOf(String(result.tool_use_id)).resolve(result);
      return;
    }
    await within(this.#settled.promise, this.#times.settleMsMax, () => this.#lose("it did not end its turn"));
    if (this.#lost !== null) throw this.#lost;
    this.#settled = Promise.withResolvers();
    const message = next as unknown as SDKUserMessage["message"];
    this.#input.push({ type: "user", message, parent_tool_use_id: null });
  }

  /** The model's next response. Once for the start, and once after each `proceed`. @throws ProgramLost */
  async respond(reader: ResponseReader): Promise<Ending> {
    if (this.#lost !== null) throw this.#lost;
    const outcome = Promise.withResolvers<Ending>();
    this.#asked = { reader, outcome, timer: this.#silence(this.#times.startMsMax) };
    try {
      return await outcome.promise;
    } finally {
      clearTimeout(this.#asked?.timer);
      this.#asked = null;
    }
  }

  /** The finished response becomes what it knows. */
  keep(content: readonly Block[]): void {
    const said = sayable(content);
    this.#known.push(canonical({ role: "assistant", content: said }));
    this.#openCalls = said.flatMap((block) => (block.type === "tool_use" ? [String(block.id)] : []));
  }

  /** Ends it at once; idempotent. */
  stop(): void {
    this.#lose("it was stopped");
  }

  #lose(why: string): void {
    if (this.#lost !== null) return;
    const { complaint = "" } = this.#running ?? {};
    this.#lost = new ProgramLost(complaint === "" ? why : `${why}: ${complaint}`);
    this.#running?.kill("SIGKILL");
    this.#query.close();
    this.#settled.resolve();
    this.#asked?.outcome.reject(this.#lost);
  }

  #silence(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.#lose(`it said nothing for ${ms} ms`), ms);
  }

  async #pump(): Promise<void> {
    try {
      for await (const message of this.#query) this.#see(message as Told);
      this.#lose("it ended");
    } catch (error) {
      this.#lose(error instanceof Error ? error.message : String(error));
    }
    // Not spawned at all when it was stopped before.
    if (this.#running !== null) await (await this.#program).ended;
  }

  #see(message: Told): void {
    const asked = this.#asked;
    if (asked !== null) {
      clearTimeout(asked.timer);
      if (isRequesting(message)) asked.reader.sent();
      asked.timer = this.#silence(asked.reader.isSent ? this.#times.silenceMsMax : this.#times.startMsMax);
    }
    if (message.type === "stream_event") this.#seeStream(message.event, asked);
    else if (message.type === "result") this.#settled.resolve();
    else if (message.subtype === "model_refusal_no_fallback" && asked !== null) {
      const { api_refusal_category: category = null, api_refusal_explanation: explanation = null } = message;
      asked.reader.refuse({ category, explanation });
      this.#finish(asked, "cut");
      return;
    }
    const error = errorOf(message, asked !== null);
    if (error === null || asked === null) return;
    asked.outcome.resolve({ type: "failed", error });
    this.#asked = null;
    this.#lose("its request failed");
  }

  #seeStream(event: StreamEvent, asked: Asked | null): void {
    if (event.type === "message_start" && asked?.reader.hasBegun !== false) {
      // A request that nobody told it to make: nothing of it may go onto the log.
      asked?.outcome.resolve({ type: "failed", error: BROKEN_OFF });
      this.#lose("it asked the model by itself");
      return;
    }
    if (asked === null) return;
    const progress = asked.reader.see(event);
    if (progress !== "open") this.#finish(asked, progress);
  }

  #finish(asked: Asked, progress: Exclude<Progress, "open">): void {
    asked.outcome.resolve(progress === "broken" ? { type: "failed", error: BROKEN_OFF } : { type: "finished" });
    clearTimeout(asked.timer);
    this.#asked = null;
    if (progress !== "finished") this.#lose("its response was cut");
  }

  #resultOf(toolUseId: string): PromiseWithResolvers<Block> {
    const known = this.#results.get(toolUseId);
    if (known !== undefined) return known;
    const result = Promise.withResolvers<Block>();
    this.#results.set(toolUseId, result);
    return result;
  }
}

/** What the harness looks at; the SDK's types leave out what the program says of API errors. */
type Told = (SDKMessage | { type: "stream_event"; event: StreamEvent }) & {
  event: StreamEvent;
  subtype?: string;
  status?: string;
  isSynthetic?: boolean;
  is_api_error_message?: boolean;
  is_error?: boolean;
  api_error_status?: number | null;
  api_error_type?: string;
  error_status?: number | null;
  error?: string;
  errors?: string[];
  result?: string;
  api_refusal_category?: string | null;
  api_refusal_explanation?: string | null;
};

const BROKEN_OFF: ProgramError = { text: "the response broke off", status: null, type: "", category: "server_error" };

function isRequesting(message: Told): boolean {
  return message.type === "system" && message.subtype === "status" && message.status === "requesting";
}

/** The request's failure, as the program tells of it; it may also go on by itself, which is stopped. */
function errorOf(message: Told, isAsked: boolean): ProgramError | null {
  const said = { status: message.api_error_status ?? null, type: message.api_error_type ?? "", category: message.error ?? "" };
  if (message.type === "assistant" && (message.is_api_error_message === true || message.error !== undefined))
    return { ...said, text: textOf(message.message.content) };
  if (message.type === "system" && message.subtype === "api_retry")
    return { ...said, status: message.error_status ?? null, text: "the request failed" };
  if (message.type === "user" && message.isSynthetic === true) return BROKEN_OFF;
  if (message.type !== "result" || !isAsked) return null;
  const told = message.is_error === true ? (message.result ?? message.errors?.join("; ")) : undefined;
  return { ...said, text: told ?? "the turn ended without a response" };
}

function textOf(content: unknown): string {
  const blocks = Array.isArray(content) ? (content as Block[]) : [];
  return blocks.map((block) => (typeof block.text === "string" ? block.text : "")).join("");
}

/** What a started program cannot change. */
function setupOf({ agent, provider }: Turn): string {
  const tools = agent.tools.map(({ name, description, inputSchema }) => ({ name, description, inputSchema }));
  const { contextWindow, outputTokensMax } = provider;
  return canonical({ system: agent.system, model: agent.model, tools, contextWindow, outputTokensMax });
}

async function within(promise: Promise<void>, ms: number, late: () => void): Promise<void> {
  const timer = setTimeout(late, ms);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
  }
}
