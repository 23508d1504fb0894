-- The log and what is projected from it. Every row carries its workspace, directly or through its session.

create table workspaces (
  id         text primary key,
  name       text not null unique,
  created_at timestamptz not null default now()
);

-- Keys are stored as SHA-256 of a 256-bit random secret: nothing to brute-force, nothing to leak.
create table api_keys (
  id           text primary key,
  workspace_id text not null references workspaces,
  name         text not null,
  hash         bytea not null unique,
  hint         text not null,
  admin        boolean not null default false,
  created_at   timestamptz not null default now(),
  revoked_at   timestamptz
);
create index api_keys_workspace on api_keys (workspace_id, created_at);

create table agents (
  id           text primary key,
  workspace_id text not null references workspaces,
  version      int not null,
  created_at   timestamptz not null,
  updated_at   timestamptz not null,
  archived_at  timestamptz
);
create index agents_workspace on agents (workspace_id, created_at desc, id desc);

-- One immutable row a version; `config` is the agent as the API shows it, without id, version and times.
create table agent_versions (
  agent_id   text not null references agents on delete cascade,
  version    int not null,
  config     jsonb not null,
  created_at timestamptz not null,
  primary key (agent_id, version)
);

create table environments (
  id           text primary key,
  workspace_id text not null references workspaces,
  name         text not null,
  description  text,
  config       jsonb not null,
  metadata     jsonb not null default '{}',
  scope        text not null default 'organization',
  created_at   timestamptz not null,
  updated_at   timestamptz not null,
  archived_at  timestamptz
);
create index environments_workspace on environments (workspace_id, created_at desc, id desc);

-- What changes seldom. `agent` is the snapshot the session keeps for life (semantics §4.1).
create table sessions (
  id             text primary key,
  workspace_id   text not null references workspaces,
  thread_id      text not null,
  agent_id       text not null,
  agent_version  int not null,
  agent          jsonb not null,
  agent_name     text not null generated always as (agent->>'name') stored,
  environment_id text not null references environments,
  harness        text not null,
  title          text,
  metadata       jsonb not null default '{}',
  vault_ids      jsonb not null default '[]',
  resources      jsonb not null default '[]',
  budget         jsonb,
  deployment_id  text,
  created_at     timestamptz not null,
  updated_at     timestamptz not null,
  archived_at    timestamptz
);
create index sessions_workspace on sessions (workspace_id, created_at desc, id desc);
create index sessions_environment on sessions (environment_id);

-- What changes with every event: the row whose lock orders the log. One row a session.
create table session_heads (
  session_id       text primary key references sessions on delete cascade,
  seq              bigint not null default 0,
  last_event_at    timestamptz not null,
  -- as the log says; `shown_status` adds what is admitted and not yet taken up
  status           text not null default 'idle' check (status in ('idle', 'running', 'rescheduling', 'terminated')),
  stop_reason      jsonb,
  -- admitted inputs so far, and how many of them wait
  inbox_position   bigint not null default 0,
  inbox_count      int not null default 0,
  -- something admitted shall start a turn: work in the inbox, or the last answer that the session waited for
  turn_pending     boolean not null default false,
  shown_status     text not null generated always as (case when status = 'idle' and turn_pending then 'running' else status end) stored,
  interrupted      boolean not null default false,
  -- the last model response ends the turn, which is not settled yet: after a crash the model is not asked again
  ending           jsonb,
  -- consecutive failed attempts at the current turn
  attempts         int not null default 0,
  -- model requests in the current turn
  steps            int not null default 0,
  input_tokens     bigint not null default 0,
  output_tokens    bigint not null default 0,
  cache_read_tokens bigint not null default 0,
  cache_write_tokens bigint not null default 0,
  active_ms        bigint not null default 0,
  running_since    timestamptz,
  terminated_at    timestamptz,
  -- when some node shall claim the session: now for new work, the lease's end while it is held, the next try after a
  -- failure; null when there is nothing to do
  wake_at          timestamptz,
  lease_owner      bigint,
  lease_generation bigint not null default 0,
  volume_id        text
) with (fillfactor = 60);
create index session_heads_wake on session_heads (wake_at) where wake_at is not null;
create index session_heads_lease on session_heads (lease_owner) where lease_owner is not null;

-- The log and what hangs on it: written only beside an update of the session's head, whose lock and existence are the foreign
-- key; a declared one would look at `sessions` again for each row. `delete_session` removes them.
-- The log itself: `body` is the event without `id` and `processed_at`; json, not jsonb: kept as written, NUL escapes included.
create table events (
  session_id   text not null,
  seq          bigint not null,
  id           text not null,
  thread_id    text not null,
  type         text not null,
  processed_at timestamptz not null,
  -- of the body, so that what is read at once can be bounded without reading it
  bytes        int not null,
  body         json not null,
  primary key (session_id, seq)
);

-- Admitted inputs that the session has not taken up: on the wire they have `processed_at: null`.
create table inbox (
  session_id  text not null,
  position    bigint not null,
  id          text not null,
  type        text not null,
  bytes       int not null,
  body        json not null,
  admitted_at timestamptz not null,
  primary key (session_id, position)
);

-- One row a tool call: the intent, and under which id its one result is or will be on the log.
create table tool_calls (
  session_id  text not null,
  id          text not null,
  -- order of emission
  position    bigint not null,
  kind        text not null check (kind in ('builtin', 'mcp', 'custom')),
  name        text not null,
  input       json not null,
  permission  text not null check (permission in ('allow', 'ask', 'deny')),
  result_id   text not null,
  -- set before the effect: a call that was started and has no result was interrupted
  started_at  timestamptz,
  -- the client's answer: {"type": …} of the event that settled it, to tell an identical retry from a different one
  answer      json,
  answer_id   text,
  confirmed   text check (confirmed in ('allow', 'deny')),
  finished_at timestamptz,
  primary key (session_id, id)
);
create index tool_calls_open on tool_calls (session_id) where finished_at is null;

-- The harness's own form of a response, beside the span that ended it. Never shown; may be deleted at any time.
create table harness_records (
  session_id text not null,
  seq        bigint not null,
  native     json not null,
  primary key (session_id, seq)
);

create table harness_states (
  session_id text primary key references sessions on delete cascade,
  seq        bigint not null,
  state      json not null
);

-- One row a model request: the trace behind the span events.
create table model_spans (
  session_id     text not null,
  id             text not null,
  model          text not null,
  started_at     timestamptz not null,
  ended_at       timestamptz,
  first_token_ms double precision,
  total_ms       double precision,
  input_tokens   bigint,
  output_tokens  bigint,
  cache_read_tokens bigint,
  cache_write_tokens bigint,
  failed         boolean,
  primary key (session_id, id)
);
create index model_spans_open on model_spans (session_id) where ended_at is null;

-- Volumes of deleted sessions, until a node with the files has removed them.
create table volume_trash (
  volume_id  text primary key,
  deleted_at timestamptz not null default now()
);

-- Servers. A node holds the advisory lock (NODE_LOCK, id) while it lives: Postgres frees it the moment it dies.
create table nodes (
  id         bigint generated always as identity primary key,
  name       text not null,
  roles      text not null,
  started_at timestamptz not null default now()
);
