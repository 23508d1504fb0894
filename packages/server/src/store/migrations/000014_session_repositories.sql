-- What came of a session's repositories (contract §6.1). One that is not here has not been tried.
create table session_repositories (
  resource_id text primary key references session_resources on delete cascade,
  -- the type of the error that the session was last told; null: it is there
  problem     text,
  -- what was checked out: a branch's name, or null and a commit
  branch      text,
  commit      text,
  tried_at    timestamptz not null
);
