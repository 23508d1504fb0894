-- The skills of a session: those of its agent, as they were when it first ran, and those that its repositories brought along.
-- It keeps them, whatever becomes of the originals.

create table session_skills (
  session_id  text not null references sessions on delete cascade,
  source      text not null check (source in ('custom', 'anthropic', 'repository')),
  -- what the agent names, and the version that it asks for; of a repository where it is mounted, and the directory in it
  skill_id    text not null,
  asked       text not null,
  -- where it is in the sandbox; null: it could not be given, and the session's log says why
  directory   text,
  name        text,
  description text,
  -- the blob that is its zip archive; null for one of a repository, which is there already
  sha256      text references blobs,
  primary key (session_id, source, skill_id, asked)
);
create index session_skills_blob on session_skills (sha256) where sha256 is not null;
create trigger session_skills_blob after insert or delete or update of sha256 on session_skills
  for each row execute function count_blob_reference();

-- Repositories of a session whose skills were looked for, which is done once.
create table session_skill_scans (
  session_id text not null references sessions on delete cascade,
  -- where the repository is mounted
  directory  text not null,
  primary key (session_id, directory)
);
