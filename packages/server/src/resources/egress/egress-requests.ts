import { decodeCursor, type EgressRequest, encodeCursor, notFound, PAGE_SIZE_DEFAULT } from "@sandbox0/protocol";
import { type EgressRow, listEgressRows } from "../../store/egress-audit.ts";
import type { Queryable } from "../../store/query.ts";
import { readIdentity } from "../../store/sessions.ts";

export interface EgressRequests {
  /** Newest first. @throws ApiError not_found_error for a session of another workspace */
  list(
    workspaceId: string,
    sessionId: string,
    query: { limit?: number | undefined; page?: string | undefined },
  ): Promise<{ data: EgressRequest[]; next_page: string | null }>;
}

const LIST = "egress";

export function createEgressRequests(db: Queryable): EgressRequests {
  return {
    async list(workspaceId, sessionId, { limit = PAGE_SIZE_DEFAULT, page }) {
      const before = page === undefined ? null : Number(decodeCursor(page, { list: LIST, order: "desc", key: ["seq"] }).key[0]);
      if ((await readIdentity(db, workspaceId, sessionId)) === null) throw notFound(`Session \`${sessionId}\` not found.`);
      const rows = await listEgressRows(db, sessionId, { before, limit: limit + 1 });
      const shown = rows.slice(0, limit);
      const last = rows.length > limit ? shown.at(-1) : undefined;
      return { data: shown.map(requestOf), next_page: last ? encodeCursor({ list: LIST, order: "desc", key: [last.id] }) : null };
    },
  };
}

function requestOf(row: EgressRow): EgressRequest {
  return {
    type: "egress_request",
    at: row.at.toISOString(),
    sandbox_id: row.sandboxId,
    host: row.host,
    port: row.port,
    verdict: row.verdict,
    reason: row.reason,
    bytes_out: row.bytesOut,
    bytes_in: row.bytesIn,
    duration_ms: row.durationMs,
    credential_ids: row.credentialIds,
  };
}
