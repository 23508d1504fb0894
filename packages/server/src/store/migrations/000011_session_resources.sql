--! breaking
-- What sessions are given (contract §6.1). `sessions.resources`, which older servers look at, was never written.
create table session_resources (
  id         text primary key,
  session_id text not null references sessions on delete cascade,
  -- the order in which they were given
  position   bigint generated always as identity,
  type       text not null check (type in ('file', 'github_repository', 'memory_store')),
  -- as the API shows it, without id and times
  config     jsonb not null,
  mount_path text not null,
  -- the session's own copy of the file: without it there is nothing to mount
  file_id    text references files on delete cascade,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (session_id, mount_path)
);
create index session_resources_session on session_resources (session_id, position);
create index session_resources_file on session_resources (file_id) where file_id is not null;
create index session_resources_memory_store on session_resources ((config->>'memory_store_id')) where type = 'memory_store';
alter table sessions drop column resources;

-- The token of a repository, under a data key of its own, which a master key wraps (000002).
create table session_resource_tokens (
  resource_id   text primary key references session_resources on delete cascade,
  master_key_id text not null,
  wrapped       bytea not null,
  ciphertext    bytea not null
);
create index session_resource_tokens_master on session_resource_tokens (master_key_id);

-- What a session has left under its outputs directory: which file of the API each path became, and stays.
create table session_outputs (
  session_id text not null references sessions on delete cascade,
  -- below the directory, as the file system has it: no encoding is promised
  path       bytea not null,
  -- null: a client has deleted the file, and nothing has been written there since
  file_id    text references files on delete set null,
  -- of the file system, when its content was stored: inode, size and time of the last change
  stamp      text not null,
  primary key (session_id, path)
);
create index session_outputs_file on session_outputs (file_id) where file_id is not null;
-- What was last said about outputs that could not be stored.
alter table sessions add column outputs_notice text;
-- Sessions that may have outputs which are not listed yet: their sandbox was used, and nobody has looked since.
create table session_outputs_due (
  session_id text primary key references sessions on delete cascade
);
