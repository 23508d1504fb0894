import { createHash } from "node:crypto";
import type { SpanKind, TimelineSpan } from "@sandbox0/protocol";
import type { ActivityRow, TimelineEgress, TimelineEvent, TimelineRequest } from "../../store/timeline.ts";

export interface TimelineFacts {
  sessionId: string;
  events: readonly TimelineEvent[];
  activities: readonly ActivityRow[];
  egress: readonly TimelineEgress[];
  requests: readonly TimelineRequest[];
  /** In dollars; `null`: the model has no price. */
  costOf(model: string, tokens: { input: number; output: number; cacheRead: number; cacheWrite: number }): number | null;
  /** As the GenAI semantic conventions name it: `anthropic`, `openai`. */
  providerNameOf(model: string): string;
}

interface Open extends Omit<TimelineSpan, "started_at" | "ended_at" | "duration_ms"> {
  startedAt: Date;
  endedAt: Date | null;
}

const CALLS: Readonly<Record<string, SpanKind>> = {
  "agent.tool_use": "tool_call",
  "agent.mcp_tool_use": "mcp_call",
  "agent.custom_tool_use": "custom_tool_call",
};

/** The spans of some turns: parents before their children, each where it began. */
export function buildTimeline(facts: TimelineFacts): TimelineSpan[] {
  const spans = readLog(facts);
  addHarnessStarts(facts, spans);
  for (const { id, kind, startedAt, durationMs, failed, attributes } of facts.activities) {
    spans.push({
      ...spanBase(facts.sessionId, `activity ${id}`, kind, kind.replace("_", " "), startedAt, attributes),
      parent_id: innermostAt(spans, startedAt, ["turn"]),
      endedAt: later(startedAt, durationMs),
      status: failed ? "error" : "ok",
    });
  }
  for (const request of facts.egress) spans.push(egressSpan(facts.sessionId, spans, request));
  return inOrder(spans).map(shown);
}

function readLog(facts: TimelineFacts): Open[] {
  const spans: Open[] = [];
  const byEvent = new Map<string, Open>();
  let turn: Open | null = null;
  let step: Open | null = null;
  const begin = (event: TimelineEvent, kind: SpanKind, name: string, parent: Open | null, attributes = {}): Open => {
    const span = { ...spanBase(facts.sessionId, `${kind} ${event.id}`, kind, name, event.at, attributes), event_id: event.id };
    const placed: Open = { ...span, parent_id: parent?.id ?? null };
    spans.push(placed);
    return placed;
  };
  const endStep = (at: Date): void => {
    if (step) end(step, at);
    step = null;
  };
  for (const event of facts.events) {
    const call = CALLS[event.type];
    if (event.type === "session.status_running") turn ??= begin(event, "turn", "turn", null);
    else if (event.type === "span.model_request_start") {
      endStep(event.at);
      step = begin(event, "step", "step", turn);
      const name = event.model ? `chat ${event.model.model}` : "chat";
      byEvent.set(event.id, begin(event, "model_request", name, step, modelAttributes(facts, event)));
    } else if (event.type === "span.model_request_end") endIf(byEvent.get(event.spanId ?? ""), event);
    else if (call) {
      const span = begin(event, call, event.name ?? "tool", step ?? turn, callAttributes(event));
      byEvent.set(event.id, span);
      // The result may be on another page.
      if (event.finishedAt) end(span, event.finishedAt);
    } else if (event.callId !== null) endIf(byEvent.get(event.callId), event, { "sandbox0.result.bytes": event.bytes });
    else if (event.type === "session.error" && turn) {
      turn.attributes["error.type"] = event.error ?? "unknown_error";
    } else if (event.type === "session.status_idle" || event.type === "session.status_terminated") {
      endStep(event.at);
      if (turn) end(turn, event.at, event.type === "session.status_terminated" || event.stopReason === "retries_exhausted");
      if (turn && event.stopReason) turn.attributes["sandbox0.stop_reason"] = event.stopReason;
      turn = null;
    }
  }
  return spans;
}

function spanBase(
  sessionId: string,
  key: string,
  kind: SpanKind,
  name: string,
  startedAt: Date,
  attributes: Open["attributes"],
): Omit<Open, "parent_id"> {
  const id = createHash("sha256").update(`${sessionId} ${key}`).digest("hex").slice(0, 16);
  return { id, kind, name, startedAt, endedAt: null, status: "running", event_id: null, attributes: { ...attributes } };
}

function end(span: Open, at: Date, failed = false): void {
  span.endedAt = at;
  span.status = failed ? "error" : "ok";
}

function endIf(span: Open | undefined, event: TimelineEvent, attributes: Open["attributes"] = {}): void {
  if (!span) return;
  end(span, event.at, event.isError === true);
  Object.assign(span.attributes, attributes);
}

/** Names of the GenAI semantic conventions, where they have one. */
function modelAttributes(facts: TimelineFacts, { model }: TimelineEvent): Open["attributes"] {
  if (model === null) return {};
  const tokens = {
    input: model.inputTokens ?? 0,
    output: model.outputTokens ?? 0,
    cacheRead: model.cacheReadTokens ?? 0,
    cacheWrite: model.cacheWriteTokens ?? 0,
  };
  const cost = model.inputTokens === null ? null : facts.costOf(model.model, tokens);
  return {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": facts.providerNameOf(model.model),
    "gen_ai.request.model": model.model,
    ...(model.inputTokens === null
      ? {}
      : {
          "gen_ai.usage.input_tokens": tokens.input,
          "gen_ai.usage.output_tokens": tokens.output,
          "gen_ai.usage.cache_read.input_tokens": tokens.cacheRead,
          "gen_ai.usage.cache_creation.input_tokens": tokens.cacheWrite,
        }),
    ...(model.firstTokenMs === null ? {} : { "sandbox0.first_token_ms": model.firstTokenMs }),
    ...(model.totalMs === null ? {} : { "sandbox0.provider_ms": model.totalMs }),
    ...(cost === null ? {} : { "sandbox0.cost_usd": cost }),
  };
}

function callAttributes({ id, name, server }: TimelineEvent): Open["attributes"] {
  return {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": name ?? "",
    "gen_ai.tool.call.id": id,
    ...(server === null ? {} : { "sandbox0.mcp_server": server }),
  };
}

/** From the first request of a turn to the moment it reached the gateway: where the program is started, that is its start. */
function addHarnessStarts(facts: TimelineFacts, spans: Open[]): void {
  for (const turn of spans.filter(({ kind }) => kind === "turn")) {
    const first = facts.requests.find(({ at }) => isWithin(turn, at));
    if (!first) continue;
    const span = spanBase(facts.sessionId, `harness ${turn.id}`, "harness_start", "harness start", turn.startedAt, {});
    spans.push({ ...span, parent_id: turn.id, endedAt: first.at, status: "ok" });
  }
}

function egressSpan(sessionId: string, spans: readonly Open[], request: TimelineEgress): Open {
  const { id, at, durationMs, host, port, verdict, reason, bytesIn, bytesOut } = request;
  const attributes = {
    "server.address": host ?? "",
    ...(port === null ? {} : { "server.port": port }),
    "sandbox0.verdict": verdict,
    ...(reason === null ? {} : { "sandbox0.reason": reason }),
    "sandbox0.bytes_out": bytesOut,
    "sandbox0.bytes_in": bytesIn,
  };
  return {
    ...spanBase(sessionId, `egress ${id}`, "egress_request", host ?? "unknown host", at, attributes),
    parent_id: innermostAt(spans, at, ["tool_call", "turn"]),
    endedAt: later(at, durationMs),
    status: verdict === "allowed" ? "ok" : "error",
  };
}

/** Of the first kind of which one was going on then, the one that began last. */
function innermostAt(spans: readonly Open[], at: Date, kinds: readonly SpanKind[]): string | null {
  for (const kind of kinds) {
    const found = spans.findLast((span) => span.kind === kind && isWithin(span, at));
    if (found) return found.id;
  }
  return null;
}

function isWithin({ startedAt, endedAt }: Open, at: Date): boolean {
  return startedAt <= at && (endedAt === null || at <= endedAt);
}

function later(at: Date, ms: number): Date {
  return new Date(at.getTime() + ms);
}

const DEPTH: Readonly<Record<SpanKind, number>> = {
  turn: 0,
  recovery: 1,
  harness_start: 1,
  step: 1,
  sandbox_claim: 2,
  model_request: 2,
  tool_call: 2,
  mcp_call: 2,
  custom_tool_call: 2,
  egress_request: 3,
};

function inOrder(spans: readonly Open[]): Open[] {
  return spans.toSorted((a, b) => a.startedAt.getTime() - b.startedAt.getTime() || DEPTH[a.kind] - DEPTH[b.kind]);
}

function shown({ startedAt, endedAt, ...span }: Open): TimelineSpan {
  const durationMs = endedAt === null ? null : Math.max(0, endedAt.getTime() - startedAt.getTime());
  return { ...span, started_at: startedAt.toISOString(), ended_at: endedAt?.toISOString() ?? null, duration_ms: durationMs };
}
