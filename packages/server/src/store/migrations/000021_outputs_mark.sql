-- Who looks for outputs settles no more than was due when the look began: each turn that may write has a mark of its own.
alter table session_outputs_due add column mark uuid not null default gen_random_uuid();
