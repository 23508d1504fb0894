import { createId, type EventOf, type MessageContent, type ResultContent, type SessionEvent } from "@sandbox0/protocol";
import {
  type Harness,
  type HarnessSandbox,
  type HistoryEntry,
  type Preview,
  type ProviderConfig,
  type ToolDefinition,
  type ToolResult,
  type TurnAgent,
  type TurnOutcome,
  TurnStopped,
} from "../port.ts";
import { createTestEffects, type EffectName, type TestTool, type TestTools, type TurnState } from "./test-effects.ts";
import { createTestLog, type TestLog } from "./test-log.ts";

export interface TestSessionOptions {
  provider: ProviderConfig;
  /** Tools that run at once. */
  tools?: Readonly<Record<string, TestTool>>;
  /** Tools of MCP servers, by the name the model knows: `mcp__<server>__<tool>`. */
  mcpTools?: Readonly<Record<string, TestTool>>;
  /** Tools that the client runs. */
  customTools?: readonly string[];
  /** Names in `tools` that need a confirmation first. */
  ask?: readonly string[];
  agent?: Partial<TurnAgent>;
  /** For harnesses in a sandbox; asked at each `openSandbox` of a turn. */
  openSandbox?: (sessionId: string) => Promise<HarnessSandbox>;
}

/**
 * One session in memory: the server side of the harness port without a server. Its log is what a real one would hold,
 * in the same order, and it answers calls and stops turns by the same rules.
 */
export interface TestSession {
  readonly sessionId: string;
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
  /** Forgets what the harness stored beside the log: a cache may vanish. */
  dropNative(): void;
  /** The effect waits until the promise resolves, at each of its begins. */
  holdBefore(effect: EffectName, until: () => Promise<void>): void;
  events<T extends SessionEvent["type"]>(type: T): EventOf<T>[];
}

export function textResult(text: string, isError = false): ToolResult {
  return { content: [{ type: "text", text }], isError };
}

const DEFAULT_AGENT = { name: "tester", system: "You are a test agent.", model: { id: "claude-opus-5" } };

export function createTestSession(options: TestSessionOptions): TestSession {
  const sessionId = createId("session");
  const log = createTestLog();
  const inbox: SessionEvent[] = [];
  const { tools: own = {}, mcpTools: mcp = {} } = options;
  const tools: TestTools = { own, mcp, custom: new Set(options.customTools), ask: new Set(options.ask) };
  const promote = (): HistoryEntry[] => {
    const entries = inbox.splice(0).map((event) => ({ event }));
    log.entries.push(...entries);
    return entries;
  };
  const turn: TurnState = {
    log,
    tools,
    previews: [],
    names: [],
    holds: new Map(),
    stopped: null,
    promote,
    openSandbox: () => (options.openSandbox ?? noSandbox)(sessionId),
  };
  let running: AbortController | null = null;
  return {
    sessionId,
    log: log.entries,
    previews: turn.previews,
    effects: turn.names,
    ...clientOf(log, inbox),
    async run(harness) {
      promote();
      running = new AbortController();
      turn.stopped = null;
      const agent = { ...DEFAULT_AGENT, tools: definitions(tools), ...options.agent };
      const ids = { sessionId, threadId: `sthr_of_${sessionId}` };
      const request = {
        ...ids,
        agent,
        provider: options.provider,
        history: [...log.entries],
        runnable: runnable(log, tools),
      };
      const outcome = await harness.runTurn(request, createTestEffects(turn, running.signal));
      if (turn.stopped !== null) log.closeOpen();
      running = null;
      return outcome;
    },
    stop(reason = "interrupted") {
      turn.stopped = new TurnStopped(reason);
      running?.abort(turn.stopped);
    },
    dropNative() {
      for (const entry of log.entries) delete entry.native;
    },
    holdBefore: (effect, until) => void turn.holds.set(effect, until),
    events: log.events,
  };
}

const noSandbox = (): Promise<never> => Promise.reject(new Error("this session has no sandbox"));

/** What a client of the session can do. */
function clientOf(log: TestLog, inbox: SessionEvent[]): Pick<TestSession, "send" | "instruct" | "confirm" | "answerCustom"> {
  const head = (): { id: string; processed_at: string } => ({ id: createId("event"), processed_at: new Date().toISOString() });
  return {
    send(content) {
      const blocks = typeof content === "string" ? [{ type: "text" as const, text: content }] : content;
      inbox.push({ ...head(), type: "user.message", content: blocks });
    },
    instruct(text) {
      inbox.push({ ...head(), type: "system.message", content: [{ type: "text", text }] });
    },
    confirm(callId, result, denyMessage) {
      log.append({ type: "user.tool_confirmation", tool_use_id: callId, result, deny_message: denyMessage ?? null });
      if (result === "deny") log.writeResult(callId, textResult(`The user rejected this tool call. ${denyMessage ?? ""}`, true));
    },
    answerCustom(callId, { content, isError }) {
      log.append({
        type: "user.custom_tool_result",
        custom_tool_use_id: callId,
        content: content as ResultContent[],
        is_error: isError,
      });
    },
  };
}

/** Calls that are allowed and have no result: those that were confirmed, and those a crash left behind. */
function runnable(log: TestLog, tools: TestTools): string[] {
  const confirmed = log.events("user.tool_confirmation").filter((event) => event.result === "allow");
  const allowed = new Set(confirmed.map((event) => event.tool_use_id));
  return log
    .calls()
    .filter(({ id, name }) => !log.isAnswered(id) && !tools.custom.has(name) && (allowed.has(id) || !tools.ask.has(name)))
    .map(({ id }) => id);
}

function definitions(tools: TestTools): ToolDefinition[] {
  return [...Object.keys(tools.own), ...Object.keys(tools.mcp), ...tools.custom].map((name) => ({
    name,
    description: `The tool ${name}.`,
    inputSchema: { type: "object", properties: { value: { type: "string" } }, additionalProperties: true },
  }));
}
