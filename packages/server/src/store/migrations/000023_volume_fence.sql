--! breaking
-- Raised by who begins to refer to the checkpoint, as a fork does: one that is being made must not take over the blobs of that
-- one. It was `uses` before, which made turns fail that were bringing the files.
alter table session_volumes add column fence bigint not null default 0;
-- `uses` when the checkpoint was made. Where both are the same and the files are `dirty`, it is programs that wrote on behind
-- the turn which may have made them newer. Null: not known.
alter table session_volumes add column kept_uses bigint;
