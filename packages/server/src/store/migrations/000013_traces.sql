-- What a session did that its log does not say: how it came by its sandbox, that another server took it over. A trace only.
create table activities (
  id          bigint generated always as identity primary key,
  -- the writer's own: a batch whose outcome was unknown is written again
  key         uuid not null unique,
  session_id  text not null references sessions on delete cascade,
  kind        text not null,
  started_at  timestamptz not null,
  duration_ms double precision not null,
  failed      boolean not null,
  attributes  jsonb not null
);
create index activities_session on activities (session_id, started_at);

-- The trace of the client that created the session, where it named one.
create table trace_contexts (
  session_id     text primary key references sessions on delete cascade,
  trace_id       text not null,
  parent_span_id text not null
);

-- Up to which event a session's trace was sent to the collector.
create table trace_exports (
  session_id text primary key references sessions on delete cascade,
  seq        bigint not null
);
