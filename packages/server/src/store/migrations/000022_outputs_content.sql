-- The content that a path had when it was last stored, also when the file was deleted since: found again in a volume that was made
-- anew, it was not written again. Null: not known.
alter table session_outputs add column sha256 text;
update session_outputs o set sha256 = f.sha256 from files f where f.id = o.file_id;
