import type { SessionStatus } from "@sandbox0/protocol";

/** The filters of the sessions list, as the address has them. */
export interface SessionsSearch {
  status?: SessionStatus;
  agent?: string;
  archived?: boolean;
}

const STATUSES: readonly SessionStatus[] = ["running", "idle", "rescheduling", "terminated"];

export function sessionsSearch(search: Record<string, unknown>): SessionsSearch {
  const status = STATUSES.find((each) => each === search.status);
  return {
    ...(status && { status }),
    ...(typeof search.agent === "string" && search.agent !== "" && { agent: search.agent }),
    ...(search.archived === true && { archived: true }),
  };
}
