-- Skills. A version is one zip archive, kept as a blob, with everything of it under a directory of the skill's name.

create table skills (
  id           text primary key,
  workspace_id text not null references workspaces,
  -- what every version of it is called; never changes
  name         text not null,
  display_name text not null,
  created_at   timestamptz not null,
  updated_at   timestamptz not null
);
create index skills_workspace on skills (workspace_id, created_at desc, id desc);

create table skill_versions (
  id          text primary key,
  skill_id    text not null references skills on delete cascade,
  -- microseconds since 1970, later than that of the version before: their order, and how they were once addressed
  number      bigint not null,
  description text not null,
  size_bytes  bigint not null,
  sha256      text not null references blobs,
  created_at  timestamptz not null,
  unique (skill_id, number)
);
create index skill_versions_blob on skill_versions (sha256);
create trigger skill_versions_blob after insert or delete or update of sha256 on skill_versions
  for each row execute function count_blob_reference();
