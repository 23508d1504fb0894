/** What the client was doing when it created the session (W3C Trace Context). */
export interface TraceContext {
  /** 32 hex digits. */
  traceId: string;
  /** 16 hex digits: the client's span, the parent of the session's turns. */
  parentSpanId: string;
}
