--! breaking
-- Volumes: where the files of each session are, and what of them is kept outside the machine.

-- The files of a volume at one instant: a manifest, and the blobs that it names. Kept for as long as a row refers to it, in a
-- table with a column `checkpoint_id text references volume_checkpoints` and the trigger `count_checkpoint_reference`.
create table volume_checkpoints (
  id          text primary key,
  -- whose volume it was
  session_id  text not null,
  -- of the session's log when the files were looked at
  seq         bigint not null,
  -- the manifest; null while the checkpoint is being made
  sha256      text references blobs,
  -- the node that makes it
  node_id     bigint not null,
  entries     bigint not null default 0,
  -- of the files
  bytes       bigint not null default 0,
  -- rows that refer to it, kept by the trigger
  refs        bigint not null default 0 check (refs >= 0),
  created_at  timestamptz not null default now()
);
create index volume_checkpoints_blob on volume_checkpoints (sha256);
create index volume_checkpoints_unfinished on volume_checkpoints (node_id) where sha256 is null;
create trigger volume_checkpoints_blob after insert or delete or update of sha256 on volume_checkpoints
  for each row execute function count_blob_reference();

create table volume_checkpoint_blobs (
  checkpoint_id text not null references volume_checkpoints on delete cascade,
  sha256        text not null references blobs,
  primary key (checkpoint_id, sha256)
);
create index volume_checkpoint_blobs_blob on volume_checkpoint_blobs (sha256);
create trigger volume_checkpoint_blobs_blob after insert or delete or update of sha256 on volume_checkpoint_blobs
  for each row execute function count_blob_reference();

create function count_checkpoint_reference() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and old.checkpoint_id is not distinct from new.checkpoint_id then
    return null;
  end if;
  if tg_op <> 'DELETE' and new.checkpoint_id is not null then
    update volume_checkpoints set refs = refs + 1 where id = new.checkpoint_id;
  end if;
  if tg_op <> 'INSERT' and old.checkpoint_id is not null then
    update volume_checkpoints set refs = refs - 1 where id = old.checkpoint_id;
    delete from volume_checkpoints where id = old.checkpoint_id and refs = 0;
  end if;
  return null;
end $$;

-- One row a session that has had files. No row: it has had none.
create table session_volumes (
  session_id    text primary key references sessions on delete cascade,
  -- what the next volume is made from; null: an empty one
  checkpoint_id text references volume_checkpoints,
  -- the data directory that holds the newest files, the volume there, and the node that last used it; null: the
  -- checkpoint is the newest there is
  home_id       text,
  volume_id     text,
  node_id       bigint,
  -- turns that have used it: a checkpoint is of the newest files only if this has not changed meanwhile
  uses          bigint not null default 0,
  -- the files may be newer than the checkpoint
  dirty         boolean not null default false,
  -- when the first sandbox was made; the files are kept for so many days from then on
  started_at    timestamptz,
  -- what the agent must be told of its files, until it has been
  notice        text
);
create index session_volumes_checkpoint on session_volumes (checkpoint_id);
create index session_volumes_started on session_volumes (started_at) where started_at is not null;
create trigger session_volumes_checkpoint after insert or delete or update of checkpoint_id on session_volumes
  for each row execute function count_checkpoint_reference();

-- A session's volume is in `session_volumes` now; what it had before is found by its name when it is used again.
alter table session_heads drop column volume_id;

-- A volume that a session has no longer is removed by a node with its data directory.
alter table volume_trash add column home_id text;

create function trash_volume() returns trigger language plpgsql as $$
begin
  if old.volume_id is not null and (tg_op = 'DELETE' or new.volume_id is distinct from old.volume_id) then
    insert into volume_trash (volume_id, home_id) values (old.volume_id, old.home_id) on conflict do nothing;
  end if;
  return null;
end $$;
create trigger session_volumes_trash after delete or update of volume_id on session_volumes
  for each row execute function trash_volume();

-- Which living node (see `nodes`) has which data directory.
create table volume_homes (
  node_id bigint primary key references nodes on delete cascade,
  home_id text not null
);
create index volume_homes_home on volume_homes (home_id);

-- What one process asks the node with a session's files for.
create table volume_requests (
  id         bigint generated always as identity primary key,
  session_id text not null references sessions on delete cascade,
  home_id    text not null,
  -- null: a checkpoint only; else the files, or with the same data directory the sandbox, shall be given up to it
  moves_to   text,
  asked_at   timestamptz not null default now(),
  -- the node that has taken it up
  node_id    bigint,
  answered_at timestamptz,
  failure    text
);
create index volume_requests_open on volume_requests (home_id) where node_id is null;
