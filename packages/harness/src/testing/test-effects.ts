import { createId } from "@sandbox0/protocol";
import { mcpToolName } from "../mcp-tool-name.ts";
import type {
  CallDisposition,
  Effects,
  HarnessSandbox,
  HistoryEntry,
  Preview,
  RequestedCall,
  ToolResult,
  TurnStopped,
} from "../port.ts";
import { NO_USAGE, type TestLog } from "./test-log.ts";

export type EffectName = "startStep" | "finishStep" | "failStep" | "executeTool" | "openSandbox";

/** What a tool of a test does. */
export type TestTool = (input: Record<string, unknown>, signal: AbortSignal) => ToolResult | Promise<ToolResult>;

export interface TestTools {
  /** Run by the session. */
  own: Readonly<Record<string, TestTool>>;
  /** Of MCP servers, by the name the model knows: `mcp__<server>__<tool>`. */
  mcp: Readonly<Record<string, TestTool>>;
  /** Run by the client. */
  custom: ReadonlySet<string>;
  /** Of `own`: need a confirmation first. */
  ask: ReadonlySet<string>;
}

/** What the effects share with their session. */
export interface TurnState {
  log: TestLog;
  tools: TestTools;
  previews: Preview[];
  names: EffectName[];
  holds: Map<EffectName, () => Promise<void>>;
  stopped: TurnStopped | null;
  promote(): HistoryEntry[];
  openSandbox(): Promise<HarnessSandbox>;
}

/** The effects of one turn on the log in memory: the same order, the same refusals as a real one. */
export function createTestEffects(turn: TurnState, signal: AbortSignal): Effects {
  const { log } = turn;
  const enter = async (name: EffectName): Promise<void> => {
    turn.names.push(name);
    throwIfStopped(turn, name);
    await turn.holds.get(name)?.();
    throwIfStopped(turn, name);
  };
  return {
    async startStep() {
      await enter("startStep");
      const promoted = turn.promote();
      return { spanId: log.append({ type: "span.model_request_start" }), promoted };
    },
    async finishStep(spanId, step) {
      await enter("finishStep");
      if (step.thinkingId !== undefined) log.append({ id: step.thinkingId, type: "agent.thinking" });
      if (step.message !== undefined) log.append({ ...step.message, type: "agent.message" });
      const dispositions = step.calls.map((call) => dispose(turn, call));
      const end = { model_request_start_id: spanId, is_error: false, model_usage: step.usage };
      log.append({ type: "span.model_request_end", ...end }, step.native);
      for (const disposition of dispositions) {
        if (disposition.action === "answered") log.writeResult(disposition.id, disposition.result);
      }
      return dispositions;
    },
    async failStep(spanId, failure) {
      await enter("failStep");
      const end = { model_request_start_id: spanId, is_error: true, model_usage: failure.usage ?? NO_USAGE };
      log.append({ type: "span.model_request_end", ...end });
      if (turn.stopped !== null) throw turn.stopped;
    },
    async executeTool(callId) {
      await enter("executeTool");
      const call = log.calls().find(({ id }) => id === callId);
      const tool = call === undefined ? undefined : toolOf(turn.tools, call);
      if (call === undefined || tool === undefined || log.isAnswered(callId)) throw new Error(`no call to run: ${callId}`);
      const ended = new Promise<never>((_, reject) => {
        signal.addEventListener("abort", () => reject(turn.stopped), { once: true });
      });
      return log.writeResult(callId, await Promise.race([Promise.resolve(tool(call.input, signal)), ended]));
    },
    async openSandbox() {
      await enter("openSandbox");
      return turn.openSandbox();
    },
    preview: (preview) => void turn.previews.push(preview),
    newEventId: () => createId("event"),
    now: () => new Date(),
    signal,
  };
}

/** A span may still be closed when the turn has been stopped; nothing else may. */
function throwIfStopped(turn: TurnState, name: EffectName): void {
  if (turn.stopped !== null && name !== "failStep") throw turn.stopped;
}

/** The name of an MCP call on the log is the server's own. */
function toolOf(tools: TestTools, call: ReturnType<TestLog["calls"]>[number]): TestTool | undefined {
  return call.type === "agent.mcp_tool_use" ? tools.mcp[mcpToolName(call.mcp_server_name, call.name)] : tools.own[call.name];
}

function dispose({ log, tools }: TurnState, call: RequestedCall): CallDisposition {
  const custom = tools.custom.has(call.name);
  const known = custom || tools.own[call.name] !== undefined || tools.mcp[call.name] !== undefined;
  const [, server = "", name = ""] = tools.mcp[call.name] === undefined ? [] : call.name.split("__");
  if (server !== "") {
    const head = { id: call.id, name, input: call.input };
    log.append({ ...head, type: "agent.mcp_tool_use", mcp_server_name: server });
  } else {
    log.append({ id: call.id, type: custom ? "agent.custom_tool_use" : "agent.tool_use", name: call.name, input: call.input });
  }
  const error = call.inputError ?? (known ? undefined : `There is no tool ${call.name}.`);
  if (error !== undefined)
    return { id: call.id, action: "answered", result: { content: [{ type: "text", text: error }], isError: true } };
  return { id: call.id, action: custom || tools.ask.has(call.name) ? "wait" : "run" };
}
