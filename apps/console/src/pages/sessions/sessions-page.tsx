import type { Agent, Session } from "@sandbox0/protocol";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { memo, useMemo } from "react";
import { useWaitingIds } from "../../api/attention.ts";
import { type ListPage, useClient } from "../../api/client.ts";
import { useSessionList } from "../../api/sessions.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { StatusBadge } from "../../ui/badge.tsx";
import { buttonClass } from "../../ui/button.tsx";
import { Checkbox, Select, type SelectOption } from "../../ui/field.tsx";
import { formatCount, formatMoney } from "../../ui/format.ts";
import { Icon } from "../../ui/icon.tsx";
import { PageHeader } from "../../ui/page.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { EmptyState, ErrorState, LoadingState } from "../../ui/states.tsx";
import { VirtualList } from "../../ui/virtual-list.tsx";
import { SessionLink } from "./session-link.tsx";
import { shownStatus } from "./shown-status.ts";
import type { SessionsSearch } from "./sessions-search.ts";

const ROW_PX = 44;
const AGENTS_MAX = 100;

/** All sessions, newest first, with how each of them is now. */
export function SessionsPage() {
  const search = useSearch({ from: "/sessions" });
  const filters = useMemo(
    () => ({
      ...(search.status && { statuses: [search.status] }),
      ...(search.agent && { agent_id: search.agent }),
      ...(search.archived && { include_archived: true }),
    }),
    [search],
  );
  const list = useSessionList(filters);
  const sessions = useMemo(() => uniqueSessions(list.data?.pages.flatMap((page) => page.data) ?? []), [list.data]);
  const loadMore = () => {
    if (list.hasNextPage && !list.isFetchingNextPage) void list.fetchNextPage();
  };
  return (
    <div className="page page-fixed">
      <PageHeader
        title="Sessions"
        actions={
          <Link to="/sessions/new" className={buttonClass({ variant: "primary" })}>
            <Icon name="plus" size={14} /> New session
          </Link>
        }
      />
      <Filters search={search} />
      {list.isPending ? <LoadingState label="Loading sessions" /> : null}
      {list.error && !list.data ? <ErrorState error={list.error} onRetry={() => void list.refetch()} /> : null}
      {list.data && sessions.length === 0 ? (
        <EmptyState icon="sessions" title="No sessions here">
          <p>Start one, or change the filters.</p>
        </EmptyState>
      ) : null}
      {sessions.length > 0 ? (
        <>
          <SessionRows sessions={sessions} loadMore={loadMore} />
          <div className="events-count small muted" role="status">
            {list.isFetchingNextPage
              ? "Loading more…"
              : `${formatCount(sessions.length)} shown${list.hasNextPage ? ", more on scrolling down" : ""}`}
          </div>
        </>
      ) : null}
    </div>
  );
}

/** Sessions that are made while pages are loaded shift the later ones. */
function uniqueSessions(sessions: readonly Session[]): Session[] {
  return [...new Map(sessions.map((session) => [session.id, session])).values()];
}

const STATUS_OPTIONS = [
  { value: "", label: "Any status" },
  { value: "running", label: "Running" },
  { value: "idle", label: "Idle" },
  { value: "rescheduling", label: "Retrying" },
  { value: "terminated", label: "Terminated" },
];

function Filters({ search }: { search: SessionsSearch }) {
  const navigate = useNavigate();
  const agents = useAgentOptions(search.agent);
  const change = (patch: Record<string, unknown>) => {
    const next = Object.fromEntries(
      Object.entries({ ...search, ...patch }).filter(([, value]) => value !== "" && value !== false),
    );
    void navigate({ to: "/sessions", search: next as SessionsSearch, replace: true });
  };
  return (
    <search className="toolbar" aria-label="Filters">
      <Select
        label="Status"
        hideLabel
        auto
        options={STATUS_OPTIONS}
        value={search.status ?? ""}
        onChange={(event) => change({ status: event.target.value })}
      />
      <Select
        label="Agent"
        hideLabel
        auto
        options={agents}
        value={search.agent ?? ""}
        onChange={(event) => change({ agent: event.target.value })}
      />
      <Checkbox
        label="Archived, too"
        checked={search.archived ?? false}
        onChange={(event) => change({ archived: event.target.checked })}
      />
    </search>
  );
}

/** The newest agents by name; one that is not among them by its id. */
function useAgentOptions(chosen: string | undefined): SelectOption[] {
  const client = useClient();
  const { data } = useQuery({
    queryKey: ["agent-options"],
    queryFn: ({ signal }) => client.get<ListPage<Agent>>("/v1/agents", { query: { limit: AGENTS_MAX }, signal }),
  });
  const options = (data?.data ?? []).map(({ id, name }) => ({ value: id, label: name }));
  const missing = chosen !== undefined && !options.some(({ value }) => value === chosen);
  return [{ value: "", label: "Any agent" }, ...options, ...(missing ? [{ value: chosen, label: chosen }] : [])];
}

function SessionRows({ sessions, loadMore }: { sessions: readonly Session[]; loadMore(): void }) {
  const waiting = useWaitingIds();
  return (
    <div className="session-list">
      <VirtualList
        label="Sessions"
        items={sessions}
        itemKey={(session) => session.id}
        estimate={() => ROW_PX}
        onNearEnd={loadMore}
      >
        {(session) => <SessionRow session={session} status={shownStatus(session, waiting)} />}
      </VirtualList>
    </div>
  );
}

interface SessionRowProps {
  session: Session;
  status: ReturnType<typeof shownStatus>;
}

const SessionRow = memo(function SessionRow({ session, status }: SessionRowProps) {
  return (
    <div className="session-row" data-status={status}>
      <span className="session-row-title truncate">
        <SessionLink id={session.id} title={session.title} />
      </span>
      <StatusBadge status={status} />
      <span className="session-row-agent truncate muted">
        <UntrustedLine text={session.agent.name} />
      </span>
      <span className="session-row-cost tabular muted">{formatMoney(session.usage.list_cost) ?? ""}</span>
      <span className="session-row-time muted">
        <RelativeTime at={session.updated_at} />
      </span>
    </div>
  );
});
