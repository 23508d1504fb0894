-- The files of a snapshot: a checkpoint, which the snapshot keeps. Null: the session had none.
alter table session_snapshots add column checkpoint_id text references volume_checkpoints;
create index session_snapshots_checkpoint on session_snapshots (checkpoint_id) where checkpoint_id is not null;
create trigger session_snapshots_checkpoint after insert or delete or update of checkpoint_id on session_snapshots
  for each row execute function count_checkpoint_reference();
