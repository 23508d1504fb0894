import { useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useParams } from "@tanstack/react-router";
import type { Session } from "@sandbox0/protocol";
import { useEffect, useMemo } from "react";
import { useSession } from "../../api/sessions.ts";
import { isRunning, openCalls } from "../../session-log/conversation.ts";
import { useLogState, useSessionLog } from "../../session-log/use-session-log.ts";
import type { LogState, SessionLog } from "../../session-log/session-log.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { plainLine } from "../../text/untrusted-text.ts";
import { StatusBadge } from "../../ui/badge.tsx";
import { CopyId } from "../../ui/copy.tsx";
import { ErrorState, LoadingState } from "../../ui/states.tsx";
import { SessionActions } from "./session-actions.tsx";
import { SessionViewContext } from "./session-context.ts";

/** One session: its head, and one of its views below it. */
export function SessionPage() {
  const { sessionId } = useParams({ from: "/sessions/$sessionId" });
  const { data: session, error, refetch } = useSession(sessionId);
  const log = useSessionLog(sessionId);
  if (session) return <OpenSession session={session} log={log} />;
  return <div className="page">{error ? <ErrorState error={error} onRetry={() => void refetch()} /> : <LoadingState />}</div>;
}

function OpenSession({ session, log }: { session: Session; log: SessionLog }) {
  const state = useLogState(log);
  useFreshSession(session.id, state);
  const closed = session.archived_at !== null || session.status === "terminated" || state.connection === "ended";
  const running = !closed && (isRunning(state.events) ?? session.status === "running");
  const waiting = useMemo(() => openCalls(state.events, state.pending).length > 0, [state.events, state.pending]);
  const view = useMemo(() => ({ session, log, running, closed }), [session, log, running, closed]);
  const title = session.title ?? "Untitled session";
  useEffect(() => {
    document.title = `${plainLine(title)} · Sandbox0`;
  }, [title]);
  const status =
    session.archived_at !== null ? "archived" : waiting && !running ? "waiting" : running ? "running" : session.status;
  return (
    <SessionViewContext value={view}>
      <div className="page page-fixed">
        <header className="page-header session-header">
          <div className="page-header-text">
            <nav className="crumbs" aria-label="Breadcrumb">
              <Link to="/sessions">Sessions</Link> / <CopyId id={session.id} label="session id" />
            </nav>
            <div className="row row-wrap">
              <h1>
                <UntrustedLine text={title} />
              </h1>
              <StatusBadge status={status === "running" && session.status === "rescheduling" ? "rescheduling" : status} />
              <ConnectionNote state={state} />
            </div>
          </div>
          <SessionActions />
        </header>
        <SessionTabs sessionId={session.id} />
        <Outlet />
      </div>
    </SessionViewContext>
  );
}

/** The session is read again whenever its log says that it has changed. */
function useFreshSession(sessionId: string, { events }: LogState): void {
  const queries = useQueryClient();
  const lastChange = events.findLast((event) => event.type.startsWith("session."))?.id;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the last change is what it is read again upon
  useEffect(() => {
    void queries.invalidateQueries({ queryKey: ["session", sessionId] });
  }, [queries, sessionId, lastChange]);
}

function ConnectionNote({ state }: { state: LogState }) {
  const words = { connecting: "Connecting…", reconnecting: "Reconnecting…", live: "Live", ended: "", paused: "Paused" };
  return (
    <span className="small muted" role="status" data-connection={state.connection}>
      {words[state.connection]}
    </span>
  );
}

const TABS = [
  ["/sessions/$sessionId", "Conversation"],
  ["/sessions/$sessionId/events", "Events"],
  ["/sessions/$sessionId/timeline", "Timeline"],
  ["/sessions/$sessionId/files", "Files"],
  ["/sessions/$sessionId/usage", "Usage & setup"],
  ["/sessions/$sessionId/snapshots", "Snapshots"],
] as const;

function SessionTabs({ sessionId }: { sessionId: string }) {
  return (
    <nav className="tabs" aria-label="Views of the session">
      {TABS.map(([to, label]) => (
        <Link key={to} to={to} params={{ sessionId }} className="tab" activeOptions={{ exact: true }}>
          {label}
        </Link>
      ))}
    </nav>
  );
}
