import type { Session, SessionAttention } from "@sandbox0/protocol";
import { Link } from "@tanstack/react-router";
import { useAttention, useWaitingIds } from "../../api/attention.ts";
import { useSessionList } from "../../api/sessions.ts";
import { plainLine } from "../../text/untrusted-text.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Badge, StatusBadge } from "../../ui/badge.tsx";
import { buttonClass } from "../../ui/button.tsx";
import { formatMoney } from "../../ui/format.ts";
import { Icon } from "../../ui/icon.tsx";
import { Page, Section } from "../../ui/page.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { EmptyState, ErrorState, LoadingState } from "../../ui/states.tsx";
import { Table } from "../../ui/table.tsx";
import { AnswerCall } from "../session/answer-call.tsx";
import { SessionLink } from "../sessions/session-link.tsx";
import { shownStatus } from "../sessions/shown-status.ts";

const RUNNING_SHOWN = 20;
const NEWEST_SHOWN = 10;

/** What needs a person comes first: calls to approve and to answer, then trouble, then what runs. */
export function HomePage() {
  const attention = useAttention();
  return (
    <Page
      title="Home"
      actions={
        <Link to="/sessions/new" className={buttonClass({ variant: "primary" })}>
          <Icon name="plus" size={14} /> New session
        </Link>
      }
    >
      {attention.isPending ? <LoadingState /> : null}
      {attention.error && !attention.data ? (
        <ErrorState error={attention.error} onRetry={() => void attention.refetch()} />
      ) : null}
      {attention.data ? <Waiting waiting={attention.data.waiting} count={attention.data.waiting_count} /> : null}
      {attention.data && attention.data.troubled.length > 0 ? <Troubled sessions={attention.data.troubled} /> : null}
      <RunningSessions />
      <NewestSessions />
    </Page>
  );
}

function Waiting({ waiting, count }: { waiting: readonly SessionAttention[]; count: number }) {
  return (
    <Section title="Needs you">
      {waiting.length === 0 ? (
        <div className="card quiet-card">
          <Icon name="check" />
          <span>Nothing waits for you.</span>
        </div>
      ) : (
        <ul className="stack">
          {waiting.map((session) => (
            <li key={session.session_id}>
              <WaitingCard session={session} />
            </li>
          ))}
        </ul>
      )}
      {count > waiting.length ? (
        <p className="muted small">{count - waiting.length} more wait; they appear as you answer these.</p>
      ) : null}
    </Section>
  );
}

function WaitingCard({ session }: { session: SessionAttention }) {
  return (
    <article className="card waiting-card" aria-label={`Session ${plainLine(session.title ?? session.session_id)}`}>
      <header className="waiting-head row row-wrap">
        <SessionLink id={session.session_id} title={session.title} />
        <span className="muted">
          <UntrustedLine text={session.agent_name} />
        </span>
        <span className="muted small waiting-since">
          since <RelativeTime at={session.since} />
        </span>
      </header>
      {session.calls.map((call) => (
        <AnswerCall
          key={call.id}
          sessionId={session.session_id}
          call={{ ...call, kind: call.type === "agent.custom_tool_use" ? "custom" : "approval" }}
        />
      ))}
    </article>
  );
}

const TROUBLES: Record<string, string> = {
  retries_exhausted: "Gave up",
  budget_reached: "Budget used up",
  refusal: "Refused",
};

function Troubled({ sessions }: { sessions: readonly SessionAttention[] }) {
  return (
    <Section title="Ran into trouble">
      <Table
        caption="Sessions that ran into trouble"
        rows={sessions}
        rowKey={(session) => session.session_id}
        columns={[
          { title: "Session", cell: (session) => <SessionLink id={session.session_id} title={session.title} /> },
          { title: "What", cell: (session) => <Badge tone="bad">{TROUBLES[session.stop_reason?.type ?? ""] ?? "Ended"}</Badge> },
          { title: "Agent", cell: (session) => <UntrustedLine text={session.agent_name} /> },
          { title: "When", cell: (session) => <RelativeTime at={session.since} /> },
        ]}
      />
    </Section>
  );
}

function RunningSessions() {
  const { data, error } = useSessionList({ statuses: ["running", "rescheduling"] }, RUNNING_SHOWN);
  const sessions = data?.pages.flatMap((page) => page.data) ?? [];
  const more = data?.pages.at(-1)?.next_page != null;
  const all = more ? (
    <Link to="/sessions" search={{ status: "running" }}>
      All running sessions
    </Link>
  ) : null;
  return (
    <Section title="Running" actions={all}>
      {error && !data ? <ErrorState error={error} /> : null}
      {data && sessions.length === 0 ? <div className="card quiet-card">No session runs right now.</div> : null}
      {sessions.length > 0 ? <SessionTable caption="Running sessions" sessions={sessions} /> : null}
    </Section>
  );
}

function NewestSessions() {
  const { data } = useSessionList({}, NEWEST_SHOWN);
  const sessions = data?.pages[0]?.data ?? [];
  if (data && sessions.length === 0) {
    return (
      <EmptyState icon="sessions" title="No sessions yet">
        <p>A session runs an agent in an environment. Start the first one here, or through the API.</p>
      </EmptyState>
    );
  }
  if (sessions.length === 0) return null;
  return (
    <Section title="Newest" actions={<Link to="/sessions">All sessions</Link>}>
      <SessionTable caption="Newest sessions" sessions={sessions} />
    </Section>
  );
}

function SessionTable({ caption, sessions }: { caption: string; sessions: readonly Session[] }) {
  const waiting = useWaitingIds();
  return (
    <Table
      caption={caption}
      rows={sessions}
      rowKey={(session) => session.id}
      columns={[
        { title: "Session", cell: (session) => <SessionLink id={session.id} title={session.title} /> },
        { title: "Status", cell: (session) => <StatusBadge status={shownStatus(session, waiting)} /> },
        { title: "Agent", cell: (session) => <UntrustedLine text={session.agent.name} /> },
        { title: "Last event", cell: (session) => <RelativeTime at={session.updated_at} /> },
        { title: "Cost", numeric: true, cell: (session) => formatMoney(session.usage.list_cost) ?? "" },
      ]}
    />
  );
}
