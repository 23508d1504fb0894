import type { Session } from "@sandbox0/protocol";
import { createContext, useContext } from "react";
import type { SessionLog } from "../../session-log/session-log.ts";

/** What the views of one session share. */
export interface SessionView {
  session: Session;
  log: SessionLog;
  /** As the log has it, which is ahead of the session that was read. */
  running: boolean;
  /** Takes no input any more. */
  closed: boolean;
}

export const SessionViewContext = createContext<SessionView | null>(null);

export function useSessionView(): SessionView {
  const view = useContext(SessionViewContext);
  if (view === null) throw new Error("useSessionView outside of a session's page");
  return view;
}
