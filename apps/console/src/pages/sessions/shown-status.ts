import type { Session, SessionStatus } from "@sandbox0/protocol";

/** A session's status as people care for it: the API's says neither that it waits for them nor that it is archived. */
export function shownStatus(session: Session, waiting: ReadonlySet<string>): SessionStatus | "archived" | "waiting" {
  if (session.archived_at !== null) return "archived";
  return session.status === "idle" && waiting.has(session.id) ? "waiting" : session.status;
}
