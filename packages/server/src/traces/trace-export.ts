import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import { readSpans, type TimelinesDeps, traceIdOf } from "../resources/timeline/timelines.ts";
import type { Database } from "../store/pool.ts";
import { readSessionName } from "../store/sessions.ts";
import { readExported, readUnexported, setExported } from "../store/timeline.ts";
import { readTraceContext } from "../store/trace-contexts.ts";
import { otlpSpans } from "./otlp-spans.ts";

/** Events that one export is made of. */
const EVENTS_PER_EXPORT = 1_000;
/** Before a session that the collector did not take is tried again. */
const RETRY_MS = 2_000;
/** How often sessions are looked for that another server left. */
const SWEEP_MS = 30_000;
const SWEEP_SESSIONS = 200;
/** What is older was there before the export was switched on, or was not taken for a day. */
const BACKLOG_MS = 24 * 60 * 60_000;
const EXPORT_MS_MAX = 10_000;

export interface TraceExportOptions {
  db: Database;
  models: TimelinesDeps["models"];
  /** OTLP over HTTP, without `/v1/traces`. */
  endpoint: string;
  headers: Readonly<Record<string, string>>;
  version: string;
  onError(error: unknown): void;
}

/** Sends finished turns to a collector; each at least once, also when a server dies in between. */
export interface TraceExport {
  /** A turn of the session has ended. Never blocks and never throws. */
  note(sessionId: string): void;
  close(): Promise<void>;
}

export function createTraceExport(options: TraceExportOptions): TraceExport {
  const exporter = new OTLPTraceExporter({
    url: `${options.endpoint.replace(/\/+$/, "")}/v1/traces`,
    headers: { ...options.headers },
    timeoutMillis: EXPORT_MS_MAX,
  });
  const resource = resourceFromAttributes({ "service.name": "sandbox0", "service.version": options.version });
  const waiting = new Set<string>();
  let working: Promise<void> | null = null;
  let isClosed = false;
  const send = (spans: ReadableSpan[]): Promise<void> =>
    new Promise((resolve, reject) => {
      exporter.export(spans, ({ code, error }) =>
        code === 0 ? resolve() : reject(error ?? new Error("the collector refused it")),
      );
    });
  const work = async (): Promise<void> => {
    for (const sessionId of waiting) {
      waiting.delete(sessionId);
      if (isClosed) break;
      await exportSession(options, sessionId, resource, send).catch((error: unknown) => {
        options.onError(error);
        setTimeout(() => note(sessionId), RETRY_MS).unref();
      });
    }
    working = null;
  };
  const note = (sessionId: string): void => {
    if (isClosed) return;
    waiting.add(sessionId);
    working ??= work();
  };
  const sweep = (): void => {
    void readUnexported(options.db, new Date(Date.now() - BACKLOG_MS), SWEEP_SESSIONS)
      .then((ids) => ids.forEach(note))
      .catch(options.onError);
  };
  const timer = setInterval(sweep, SWEEP_MS);
  timer.unref();
  sweep();
  return {
    note,
    async close() {
      isClosed = true;
      clearInterval(timer);
      await working;
      await exporter.shutdown();
    },
  };
}

/** Holds nothing while the collector is waited for: two servers that do it at once send the same spans with the same ids. */
async function exportSession(
  { db, models }: TraceExportOptions,
  sessionId: string,
  resource: ReturnType<typeof resourceFromAttributes>,
  send: (spans: ReadableSpan[]) => Promise<void>,
): Promise<void> {
  const agentName = await readSessionName(db, sessionId);
  if (agentName === null) return;
  const context = await readTraceContext(db, sessionId);
  const trace = {
    traceId: context?.traceId ?? traceIdOf(sessionId),
    parentSpanId: context?.parentSpanId ?? null,
    sessionId,
    agentName,
  };
  for (let after = await readExported(db, sessionId); ; ) {
    const part = await readSpans({ db, models }, sessionId, { after, limit: EVENTS_PER_EXPORT, wholeTurns: true });
    if (part.spans.length > 0) await send(otlpSpans(resource, trace, part.spans));
    if (part.last > after) await setExported(db, sessionId, part.last);
    after = part.last;
    if (!part.more || part.spans.length === 0) return;
  }
}
