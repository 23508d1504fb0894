import { JsonTraceSerializer } from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import type { TimelineSpan } from "@sandbox0/protocol";
import { otlpSpans, type SessionTrace } from "./otlp-spans.ts";

/** `{"resourceSpans"}`, as OTLP over HTTP has it. */
export function otlpJson(version: string, trace: SessionTrace, spans: readonly TimelineSpan[]): object {
  const resource = resourceFromAttributes({ "service.name": "sandbox0", "service.version": version });
  const bytes = JsonTraceSerializer.serializeRequest(otlpSpans(resource, trace, spans));
  return bytes === undefined ? { resourceSpans: [] } : (JSON.parse(new TextDecoder().decode(bytes)) as object);
}
