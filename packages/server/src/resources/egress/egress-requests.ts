import {
  decodeCursor,
  type EgressListQuery,
  type EgressRequest,
  encodeCursor,
  notFound,
  type Page,
  PAGE_SIZE_DEFAULT,
  type PageQuery,
} from "@sandbox0/protocol";
import { type EgressRow, findEgressRows, listEgressRows } from "../../store/egress-audit.ts";
import type { Queryable } from "../../store/query.ts";
import { readIdentity } from "../../store/sessions.ts";

export interface EgressRequests {
  /** Newest first. @throws ApiError not_found_error for a session of another workspace */
  list(workspaceId: string, sessionId: string, query: PageQuery): Promise<Page<EgressRequest>>;
  /** Newest first, of all sessions of the workspace, also of deleted ones. */
  find(workspaceId: string, query: EgressListQuery): Promise<Page<EgressRequest>>;
}

const LIST = "egress";
const FIND = "egress of the workspace";

export function createEgressRequests(db: Queryable): EgressRequests {
  return {
    async list(workspaceId, sessionId, { limit = PAGE_SIZE_DEFAULT, page }) {
      const before = placeOf(page, LIST);
      if ((await readIdentity(db, workspaceId, sessionId)) === null) throw notFound(`Session \`${sessionId}\` not found.`);
      return pageOf(await listEgressRows(db, sessionId, { before, limit: limit + 1 }), limit, LIST);
    },
    async find(workspaceId, { session_id: sessionId, host, verdict, limit = PAGE_SIZE_DEFAULT, page }) {
      const filter = { workspaceId, sessionId, host: host?.toLowerCase(), verdict };
      const before = placeOf(page, FIND);
      return pageOf(await findEgressRows(db, filter, { before, limit: limit + 1 }), limit, FIND);
    },
  };
}

/** The row behind which a page begins. */
function placeOf(page: string | undefined, list: string): number | null {
  return page === undefined ? null : Number(decodeCursor(page, { list, order: "desc", key: ["seq"] }).key[0]);
}

/** `rows` has one more than is shown, if there is one. */
function pageOf(rows: readonly EgressRow[], limit: number, list: string): Page<EgressRequest> {
  const shown = rows.slice(0, limit);
  const last = rows.length > limit ? shown.at(-1) : undefined;
  return { data: shown.map(requestOf), next_page: last ? encodeCursor({ list, order: "desc", key: [last.id] }) : null };
}

function requestOf(row: EgressRow): EgressRequest {
  return {
    type: "egress_request",
    at: row.at.toISOString(),
    session_id: row.sessionId,
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
