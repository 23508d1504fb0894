-- Blobs: content that is kept outside, by its SHA-256. A row is there before its content is, and goes with it. A table that
-- needs blobs has a column `sha256 text references blobs` and the trigger `count_blob_reference`: what a row refers to stays;
-- what none refers to is deleted some time later.
create table blobs (
  sha256     text primary key check (sha256 ~ '^[0-9a-f]{64}$'),
  size_bytes bigint not null,
  -- rows that refer to it, kept by the trigger
  refs       bigint not null default 0 check (refs >= 0),
  -- when it was last stored, or a row last ceased to refer to it
  touched_at timestamptz not null
);
create index blobs_unreferenced on blobs (touched_at) where refs = 0;

create function count_blob_reference() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and old.sha256 is not distinct from new.sha256 then
    return null;
  end if;
  if tg_op <> 'DELETE' and new.sha256 is not null then
    update blobs set refs = refs + 1 where sha256 = new.sha256;
  end if;
  if tg_op <> 'INSERT' and old.sha256 is not null then
    update blobs set refs = refs - 1, touched_at = now() where sha256 = old.sha256;
  end if;
  return null;
end $$;

-- Files (contract §13). Those of a session go with it.
create table files (
  id           text primary key,
  workspace_id text not null references workspaces,
  -- the scope; null: uploaded, and counted to the workspace's quota
  session_id   text references sessions on delete cascade,
  filename     text not null,
  mime_type    text not null,
  size_bytes   bigint not null,
  -- null: expired, its content is gone
  sha256       text references blobs,
  downloadable boolean not null,
  created_at   timestamptz not null,
  expires_at   timestamptz
);
create index files_workspace on files (workspace_id, created_at desc, id desc);
create index files_session on files (session_id, created_at desc, id desc) where session_id is not null;
create index files_blob on files (sha256);
create index files_expiry on files (expires_at) where expires_at is not null;
create trigger files_blob after insert or delete or update of sha256 on files
  for each row execute function count_blob_reference();

-- What the uploaded files of a workspace take, kept by the trigger; no row is none.
create table workspace_storage (
  workspace_id text primary key references workspaces,
  bytes        bigint not null check (bytes >= 0)
);

create function count_stored_bytes() returns trigger language plpgsql as $$
declare
  change bigint := 0;
begin
  if tg_op <> 'DELETE' and new.session_id is null and new.sha256 is not null then
    change := change + new.size_bytes;
  end if;
  if tg_op <> 'INSERT' and old.session_id is null and old.sha256 is not null then
    change := change - old.size_bytes;
  end if;
  if change <> 0 then
    insert into workspace_storage (workspace_id, bytes) values (coalesce(new.workspace_id, old.workspace_id), greatest(change, 0))
      on conflict (workspace_id) do update set bytes = workspace_storage.bytes + change;
  end if;
  return null;
end $$;
create trigger files_bytes after insert or delete or update of sha256 on files
  for each row execute function count_stored_bytes();
