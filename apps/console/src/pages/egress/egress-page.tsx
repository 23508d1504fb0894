import type { EgressRequest } from "@sandbox0/protocol";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useDeferredValue, useMemo } from "react";
import { ListTable } from "../../resources/loaded.tsx";
import { useResourceList } from "../../resources/use-resources.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Badge, type Tone } from "../../ui/badge.tsx";
import { Select, TextField } from "../../ui/field.tsx";
import { formatBytes, formatDuration, formatTime } from "../../ui/format.ts";
import { Page } from "../../ui/page.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { changedSearch, type EgressSearch, VERDICTS } from "./egress-search.ts";

const POLL_MS = 10_000;
const TONES: Readonly<Record<EgressRequest["verdict"], Tone>> = { allowed: "ok", denied: "bad", failed: "warn" };
const LABELS: Readonly<Record<EgressRequest["verdict"], string>> = { allowed: "Allowed", denied: "Denied", failed: "Failed" };

/** What sandboxes sent out, and what they were refused. */
export function EgressPage() {
  const search = useDeferredValue(useSearch({ from: "/egress" }));
  const list = useResourceList<EgressRequest>(
    "/sandbox0/v1/egress",
    {
      ...(search.session && { session_id: search.session }),
      ...(search.host && { host: search.host }),
      ...(search.verdict && { verdict: search.verdict }),
    },
    { pollMs: POLL_MS },
  );
  // Rows have no id: two may say the same.
  const places = useMemo(() => new Map(list.rows?.map((row, place) => [row, place])), [list.rows]);
  const filtered = Object.keys(search).length > 0;
  return (
    <Page
      title="Egress"
      description="What sandboxes sent to the network, and what they were refused. Paths, headers and bodies are never kept."
    >
      <Filters />
      <ListTable
        caption="Requests"
        list={list}
        icon="egress"
        emptyTitle={filtered ? "Nothing fits these filters" : "Nothing went out yet"}
        empty={<p>Rows appear some seconds after the request.</p>}
        rowKey={(row) => String(places.get(row))}
        columns={[
          { title: "When", cell: (row) => <RelativeTime at={row.at} /> },
          { title: "Host", cell: (row) => <Host row={row} /> },
          {
            title: "Verdict",
            cell: ({ verdict }) => (
              <Badge tone={TONES[verdict]} dot>
                {LABELS[verdict]}
              </Badge>
            ),
          },
          { title: "Why", minor: true, cell: ({ reason }) => (reason === null ? "" : reason.replaceAll("_", " ")) },
          { title: "Out", minor: true, numeric: true, cell: (row) => formatBytes(row.bytes_out) },
          { title: "In", minor: true, numeric: true, cell: (row) => formatBytes(row.bytes_in) },
          { title: "Took", minor: true, numeric: true, cell: (row) => formatDuration(row.duration_ms) },
          { title: "Secrets", minor: true, cell: (row) => <Secrets ids={row.credential_ids} /> },
          { title: "Session", minor: true, cell: ({ session_id: id }) => <SessionOf id={id} /> },
        ]}
      />
    </Page>
  );
}

function Filters() {
  const search = useSearch({ from: "/egress" });
  const navigate = useNavigate();
  const change = (patch: { [K in keyof EgressSearch]?: string }) =>
    void navigate({ to: "/egress", search: changedSearch(search, patch), replace: true });
  return (
    <search className="toolbar" aria-label="Filters">
      <Select
        label="Verdict"
        hideLabel
        auto
        options={[{ value: "", label: "Any verdict" }, ...VERDICTS.map((value) => ({ value, label: LABELS[value] }))]}
        value={search.verdict ?? ""}
        onChange={(event) => change({ verdict: event.target.value })}
      />
      <TextField
        label="Host"
        hideLabel
        mono
        placeholder="Host"
        value={search.host ?? ""}
        onChange={(event) => change({ host: event.target.value.trim() })}
      />
      <TextField
        label="Session id"
        hideLabel
        mono
        placeholder="Session id"
        value={search.session ?? ""}
        onChange={(event) => change({ session: event.target.value.trim() })}
      />
    </search>
  );
}

function Host({ row }: { row: EgressRequest }) {
  if (row.host === null) return <span className="muted">not readable</span>;
  return (
    <code title={formatTime(row.at)}>
      <UntrustedLine text={row.host} />
      {row.port === null ? "" : `:${row.port}`}
    </code>
  );
}

function Secrets({ ids }: { ids: readonly string[] }) {
  if (ids.length === 0) return null;
  return (
    <span title={ids.join(", ")}>
      {ids.length} {ids.length === 1 ? "secret" : "secrets"}
    </span>
  );
}

function SessionOf({ id }: { id: string | null }) {
  if (id === null) return <span className="muted">none</span>;
  return (
    <Link to="/sessions/$sessionId" params={{ sessionId: id }} className="mono small">
      …{id.slice(-8)}
    </Link>
  );
}
