-- Snapshots of sessions, and what restores have taken back.

-- A moment at which a session was idle, to fork it from or to restore it to.
create table session_snapshots (
  id          text primary key,
  session_id  text not null references sessions on delete cascade,
  name        text,
  -- the log up to here, without what had been taken back by then
  seq         bigint not null,
  rewound     int8multirange not null,
  -- the `session.status_idle` that had made it idle; null: it had not run yet
  event_id    text,
  stop_reason jsonb,
  -- what was admitted and not taken up
  inputs      json not null,
  created_at  timestamptz not null
);
create index session_snapshots_session on session_snapshots (session_id, created_at desc, id desc);

-- The events, by their seq, that restores have taken back: they stay on the log, and nobody is shown them. A session that was
-- never restored has no row.
create table session_rewinds (
  session_id text primary key references sessions on delete cascade,
  ranges     int8multirange not null
);
