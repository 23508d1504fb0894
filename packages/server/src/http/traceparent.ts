import type { FastifyRequest } from "fastify";
import type { TraceContext } from "../domain/trace-context.ts";

/** Version 00 of W3C Trace Context; later versions begin with the same fields. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-|$)/;

/** What the client is doing, if it says so. One that cannot be read is as good as none: the standard says to start anew. */
export function readTraceparent(request: FastifyRequest): TraceContext | null {
  const header = request.headers.traceparent;
  const match = typeof header === "string" ? TRACEPARENT.exec(header.trim()) : null;
  const [, traceId, parentSpanId] = match ?? [];
  return traceId !== undefined && parentSpanId !== undefined ? { traceId, parentSpanId } : null;
}
