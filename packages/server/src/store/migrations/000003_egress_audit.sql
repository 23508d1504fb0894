-- What went out of sandboxes: a row a request of an opened connection, a tunnel, or an attempt. No path, no header, no body.
-- No foreign keys: rows come late and in batches, and the history of a deleted session may be looked at until it ages out.
create table egress_audit (
  id             bigint generated always as identity primary key,
  workspace_id   text,
  -- null: nobody had the sandbox
  session_id     text,
  sandbox_id     text not null,
  at             timestamptz not null,
  duration_ms    int not null,
  host           text,
  port           int,
  verdict        text not null check (verdict in ('allowed', 'denied', 'failed')),
  reason         text,
  bytes_out      bigint not null,
  bytes_in       bigint not null,
  credential_ids jsonb not null
);
create index egress_audit_session on egress_audit (session_id, id);
create index egress_audit_at on egress_audit (at);
