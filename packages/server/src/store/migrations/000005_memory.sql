-- Memory stores: texts at paths, and every version of them.

create table memory_stores (
  id           text primary key,
  workspace_id text not null references workspaces,
  name         text not null,
  description  text not null,
  metadata     jsonb not null default '{}',
  created_at   timestamptz not null,
  updated_at   timestamptz not null,
  archived_at  timestamptz
);
create index memory_stores_workspace on memory_stores (workspace_id, created_at desc, id desc);

-- What is there now. The content is that of the version. Paths compare by their bytes; that none is below another one is
-- seen to under the lock of the store's row, which every writer takes first.
create table memories (
  id             text primary key,
  store_id       text not null references memory_stores on delete cascade,
  path           text collate "C" not null,
  version_id     text not null,
  content_sha256 text not null,
  content_bytes  int not null,
  created_at     timestamptz not null,
  updated_at     timestamptz not null
);
create unique index memories_path on memories (store_id, path);

-- Outlives its memory. `seq` is the order of the changes of a store. The content is UTF-8; `bytea`, because it may have NUL.
create table memory_versions (
  id             text primary key,
  seq            bigint not null generated always as identity,
  store_id       text not null references memory_stores on delete cascade,
  memory_id      text not null,
  operation      text not null check (operation in ('created', 'modified', 'deleted')),
  path           text,
  content        bytea,
  content_sha256 text,
  content_bytes  int,
  -- actors as the API shows them
  created_by     jsonb not null,
  created_at     timestamptz not null,
  redacted_by    jsonb,
  redacted_at    timestamptz,
  check ((redacted_at is null) = (path is not null) and (redacted_at is null) = (redacted_by is null)),
  check (content is null or (redacted_at is null and operation <> 'deleted'))
);
create index memory_versions_store on memory_versions (store_id, seq desc);
create index memory_versions_memory on memory_versions (memory_id, seq desc);
create index memory_versions_age on memory_versions (created_at);
