import { type HrTime, SpanKind, SpanStatusCode, TraceFlags } from "@opentelemetry/api";
import type { Resource } from "@opentelemetry/resources";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import type { TimelineSpan } from "@sandbox0/protocol";

const SCOPE = { name: "sandbox0" };
const MS_PER_S = 1_000;
const NS_PER_MS = 1_000_000;

export interface SessionTrace {
  traceId: string;
  /** The client's span, under which the turns are; `null`: they are roots. */
  parentSpanId: string | null;
  sessionId: string;
  agentName: string;
}

/** A session's spans as OpenTelemetry has them. What still runs ends where its turn did: it waits for the client. */
export function otlpSpans(resource: Resource, trace: SessionTrace, spans: readonly TimelineSpan[]): ReadableSpan[] {
  const ends = new Map(spans.map(({ id, ended_at }) => [id, ended_at]));
  const lastEnd = spans.reduce((last, { ended_at }) => (ended_at !== null && ended_at > last ? ended_at : last), "");
  return spans.map((span) => {
    const endedAt = span.ended_at ?? ends.get(span.parent_id ?? "") ?? (lastEnd || span.started_at);
    const [startTime, endTime] = [hrTime(span.started_at), hrTime(endedAt)];
    const parentId = span.parent_id ?? trace.parentSpanId;
    return {
      name: span.kind === "turn" ? `invoke_agent ${trace.agentName}` : span.name,
      kind: span.kind === "model_request" || span.kind === "mcp_call" ? SpanKind.CLIENT : SpanKind.INTERNAL,
      spanContext: () => context(trace.traceId, span.id),
      ...(parentId === null ? {} : { parentSpanContext: context(trace.traceId, parentId) }),
      startTime,
      endTime,
      duration: hrTime(new Date(Date.parse(endedAt) - Date.parse(span.started_at)).toISOString()),
      status: { code: span.status === "error" ? SpanStatusCode.ERROR : SpanStatusCode.UNSET },
      attributes: attributesOf(trace, span),
      links: [],
      events: [],
      ended: true,
      resource,
      instrumentationScope: SCOPE,
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
    };
  });
}

function attributesOf(trace: SessionTrace, span: TimelineSpan): ReadableSpan["attributes"] {
  return {
    ...span.attributes,
    "gen_ai.conversation.id": trace.sessionId,
    "sandbox0.kind": span.kind,
    ...(span.event_id === null ? {} : { "sandbox0.event_id": span.event_id }),
    ...(span.kind === "turn" ? { "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": trace.agentName } : {}),
    ...(span.ended_at === null ? { "sandbox0.waits_for_client": true } : {}),
  };
}

function context(traceId: string, spanId: string): ReturnType<ReadableSpan["spanContext"]> {
  return { traceId, spanId, traceFlags: TraceFlags.SAMPLED };
}

function hrTime(at: string): HrTime {
  const ms = Date.parse(at);
  return [Math.floor(ms / MS_PER_S), (ms % MS_PER_S) * NS_PER_MS];
}
