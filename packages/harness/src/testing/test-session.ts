import { createId, type EventOf, type MessageContent, type ResultContent, type SessionEvent } from "@sandbox0/protocol";
import {
  type CallDisposition,
  type Effects,
  type Harness,
  type HistoryEntry,
  type Preview,
  type ProviderConfig,
  type RequestedCall,
  type Step,
  type ToolDefinition,
  type ToolResult,
  type Turn,
  type TurnAgent,
  type TurnOutcome,
  TurnStopped,
} from "../port.ts";

/** What a tool of a test does. */
export type TestTool = (input: Record<string, unknown>, signal: AbortSignal) => ToolResult | Promise<ToolResult>;

export interface TestSessionOptions {
  provider: ProviderConfig;
  /** Tools that run at once. */
  tools?: Readonly<Record<string, TestTool>>;
  /** Tools that the client runs. */
  customTools?: readonly string[];
  /** Names in `tools` that need a confirmation first. */
  ask?: readonly string[];
  agent?: Partial<TurnAgent>;
}

export type EffectName = "startStep" | "finishStep" | "failStep" | "executeTool" | "saveState";

/**
 * One session in memory: the server side of the harness port without a server. Its log is what a real one would hold,
 * in the same order, and it answers calls and stops turns by the same rules.
 */
export interface TestSession {
  readonly log: readonly HistoryEntry[];
  readonly previews: readonly Preview[];
  /** Names of the effects the harness used, in order of their begin. */
  readonly effects: readonly EffectName[];
  send(content: string | MessageContent[]): void;
  /** A `system.message`. */
  instruct(text: string): void;
  confirm(callId: string, result: "allow" | "deny", denyMessage?: string): void;
  answerCustom(callId: string, result: ToolResult): void;
  /** Runs one turn on what was sent. */
  run(harness: Harness): Promise<TurnOutcome>;
  /** Ends the running turn; its open calls are closed on the log when it has ended. */
  stop(reason?: TurnStopped["reason"]): void;
  /** Forgets what the harness stored beside the log. */
  dropNative(): void;
  /** The effect waits here until the promise resolves; called at every begin of that effect. */
  holdBefore(effect: EffectName, until: () => Promise<void>): void;
  events<T extends SessionEvent["type"]>(type: T): EventOf<T>[];
}

export function textResult(text: string, isError = false): ToolResult {
  return { content: [{ type: "text", text }], isError };
}

const INTERRUPTED = textResult("Tool execution was interrupted before completion. Please retry.", true);
const DEFAULT_AGENT: TurnAgent = { name: "tester", system: "You are a test agent.", model: { id: "claude-opus-5" }, tools: [] };

export function createTestSession(options: TestSessionOptions): TestSession {
  const log: HistoryEntry[] = [];
  const previews: Preview[] = [];
  const effectNames: EffectName[] = [];
  const inbox: SessionEvent[] = [];
  const holds = new Map<EffectName, () => Promise<void>>();
  let state: unknown = null;
  let running: AbortController | null = null;
  let stopped: TurnStopped | null = null;

  const tools = options.tools ?? {};
  const custom = new Set(options.customTools ?? []);
  const ask = new Set(options.ask ?? []);
  const now = (): string => new Date().toISOString();
  const append = (event: Omit<SessionEvent, "id" | "processed_at"> & { id?: string }, native?: unknown): string => {
    const id = event.id ?? createId("event");
    log.push({ event: { id, processed_at: now(), ...event } as SessionEvent, ...(native === undefined ? {} : { native }) });
    return id;
  };
  const enter = async (name: EffectName): Promise<void> => {
    effectNames.push(name);
    if (stopped !== null && name !== "failStep") throw stopped;
    await holds.get(name)?.();
    if (stopped !== null && name !== "failStep") throw stopped;
  };
  const promote = (): HistoryEntry[] => {
    const entries = inbox.splice(0).map((event) => ({ event }));
    log.push(...entries);
    return entries;
  };
  const answered = (callId: string): boolean => log.some(({ event }) => resultOf(event) === callId);
  const calls = (): CallEvent[] => log.map(({ event }) => event).filter(isCall);
  const writeResult = (callId: string, result: ToolResult): ToolResult => {
    append({ type: "agent.tool_result", tool_use_id: callId, content: result.content, is_error: result.isError } as never);
    return result;
  };
  const dispose = (call: RequestedCall): CallDisposition => {
    const isCustom = custom.has(call.name);
    append({
      id: call.id,
      type: isCustom ? "agent.custom_tool_use" : "agent.tool_use",
      name: call.name,
      input: call.input,
    } as never);
    if (isCustom && call.inputError === undefined) return { id: call.id, action: "wait" };
    const error = call.inputError ?? (tools[call.name] === undefined ? `unknown tool ${call.name}` : undefined);
    if (error !== undefined) return { id: call.id, action: "answered", result: textResult(error, true) };
    return { id: call.id, action: ask.has(call.name) ? "wait" : "run" };
  };

  const createEffects = (controller: AbortController): Effects => ({
    async startStep() {
      await enter("startStep");
      const promoted = promote();
      return { spanId: append({ type: "span.model_request_start" } as never), promoted };
    },
    async finishStep(spanId: string, step: Step) {
      await enter("finishStep");
      if (step.thinkingId !== undefined) append({ id: step.thinkingId, type: "agent.thinking" } as never);
      if (step.message !== undefined) append({ ...step.message, type: "agent.message" } as never);
      const dispositions = step.calls.map(dispose);
      append(
        { type: "span.model_request_end", model_request_start_id: spanId, is_error: false, model_usage: step.usage } as never,
        step.native,
      );
      for (const disposition of dispositions) {
        if (disposition.action === "answered") writeResult(disposition.id, disposition.result);
      }
      return dispositions;
    },
    async failStep(spanId, failure) {
      await enter("failStep");
      const usage = failure.usage ?? {
        input_tokens: 0,
        output_tokens: 0,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 0,
      };
      append({ type: "span.model_request_end", model_request_start_id: spanId, is_error: true, model_usage: usage } as never);
      if (stopped !== null) throw stopped;
    },
    async executeTool(callId) {
      await enter("executeTool");
      const call = calls().find(({ id }) => id === callId);
      const tool = call === undefined ? undefined : tools[call.name];
      if (call === undefined || tool === undefined || answered(callId)) throw new Error(`no call to run: ${callId}`);
      const ended = new Promise<never>((_, reject) =>
        controller.signal.addEventListener("abort", () => reject(stopped), { once: true }),
      );
      return writeResult(callId, await Promise.race([Promise.resolve(tool(call.input, controller.signal)), ended]));
    },
    preview: (preview) => void previews.push(preview),
    async saveState(value) {
      await enter("saveState");
      state = value;
    },
    newEventId: () => createId("event"),
    now: () => new Date(),
    signal: controller.signal,
  });

  /** What the server does when a turn was ended from outside: nothing stays open on the log. */
  const closeOpen = (): void => {
    for (const call of calls()) if (!answered(call.id)) writeResult(call.id, INTERRUPTED);
    const starts = log.filter(({ event }) => event.type === "span.model_request_start").map(({ event }) => event.id);
    const ends = new Set(log.map(({ event }) => (event.type === "span.model_request_end" ? event.model_request_start_id : "")));
    const usage = { input_tokens: 0, output_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 };
    for (const id of starts.filter((start) => !ends.has(start))) {
      append({ type: "span.model_request_end", model_request_start_id: id, is_error: true, model_usage: usage } as never);
    }
  };
  const runnable = (): string[] => {
    const allowed = new Set(
      log.map(({ event }) => (event.type === "user.tool_confirmation" && event.result === "allow" ? event.tool_use_id : "")),
    );
    return calls()
      .filter((call) => !answered(call.id) && !custom.has(call.name) && (allowed.has(call.id) || !ask.has(call.name)))
      .map((call) => call.id);
  };
  const definitions = [...Object.keys(tools), ...custom].map(
    (name): ToolDefinition => ({
      name,
      description: `The tool ${name}.`,
      inputSchema: { type: "object", properties: { value: { type: "string" } }, additionalProperties: true },
    }),
  );

  return {
    log,
    previews,
    effects: effectNames,
    send(content) {
      const blocks = typeof content === "string" ? [{ type: "text" as const, text: content }] : content;
      inbox.push({ id: createId("event"), type: "user.message", content: blocks, processed_at: now() });
    },
    instruct: (text) =>
      void inbox.push({ id: createId("event"), type: "system.message", content: [{ type: "text", text }], processed_at: now() }),
    confirm(callId, result, denyMessage) {
      append({ type: "user.tool_confirmation", tool_use_id: callId, result, deny_message: denyMessage ?? null } as never);
      if (result === "deny")
        writeResult(callId, textResult(`The user rejected this tool call. ${denyMessage ?? ""}`.trim(), true));
    },
    answerCustom(callId, { content, isError }) {
      append({
        type: "user.custom_tool_result",
        custom_tool_use_id: callId,
        content: content as ResultContent[],
        is_error: isError,
      } as never);
    },
    async run(harness) {
      promote();
      running = new AbortController();
      stopped = null;
      const turn: Turn = {
        sessionId: "sesn_01test",
        threadId: "sthr_01test",
        agent: { ...DEFAULT_AGENT, tools: definitions, ...options.agent },
        provider: options.provider,
        history: [...log],
        runnable: runnable(),
        state,
      };
      const outcome = await harness.runTurn(turn, createEffects(running));
      if (stopped !== null) closeOpen();
      running = null;
      return outcome;
    },
    stop(reason = "interrupted") {
      stopped = new TurnStopped(reason);
      running?.abort(stopped);
    },
    dropNative() {
      for (const entry of log) delete (entry as { native?: unknown }).native;
      state = null;
    },
    holdBefore: (effect, until) => void holds.set(effect, until),
    events: <T extends SessionEvent["type"]>(type: T) =>
      log.map(({ event }) => event).filter((event): event is EventOf<T> => event.type === type),
  };
}

type CallEvent = EventOf<"agent.tool_use"> | EventOf<"agent.custom_tool_use">;

function isCall(event: SessionEvent): event is CallEvent {
  return event.type === "agent.tool_use" || event.type === "agent.custom_tool_use";
}

function resultOf(event: SessionEvent): string | undefined {
  if (event.type === "agent.tool_result") return event.tool_use_id;
  return event.type === "user.custom_tool_result" ? event.custom_tool_use_id : undefined;
}
