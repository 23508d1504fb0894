import type { AuditRow, AuditSink } from "../port.ts";
import type { Target } from "./port.ts";

export function newAuditRow(target: Target): AuditRow {
  return {
    workspaceId: null,
    sessionId: null,
    sandboxId: target.sandboxId,
    at: new Date(),
    durationMs: 0,
    host: target.host,
    port: target.port,
    verdict: "allowed",
    reason: null,
    bytesOut: 0,
    bytesIn: 0,
    credentialIds: [],
  };
}

/** `startedMs` is of the monotonic clock: the wall clock may be set while a request runs. */
export function recordAudit(audit: AuditSink, row: AuditRow, startedMs: number): void {
  audit.record({ ...row, durationMs: Math.round(performance.now() - startedMs) });
}
