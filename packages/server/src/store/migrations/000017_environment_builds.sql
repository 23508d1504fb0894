-- Builds of what environments are prepared with, their packages and setup: one row for a recipe and a store of layers. A row
-- without a store asks whichever server comes first for a build ahead of the first session.
create table environment_builds (
  -- what is built (resources/environments/environment-recipe.ts); it has the workspace in it
  recipe         text not null,
  -- of a data directory; empty: asked for
  store_id       text not null,
  workspace_id   text not null references workspaces,
  -- whose network policy it is built under; null: deleted since
  environment_id text references environments on delete set null,
  state          text not null check (state in ('queued', 'building', 'ready', 'failed')),
  -- what runs now or ran last: a package manager, or setup
  step           text,
  -- who builds; with the attempt it is the fence of every write
  node_id        bigint,
  attempt        integer not null default 0,
  -- failures since it last was ready: the next try waits longer
  failures       integer not null default 0,
  not_before     timestamptz,
  -- why it failed, in a sentence
  error          text,
  log_tail       text not null default '',
  created_at     timestamptz not null default clock_timestamp(),
  started_at     timestamptz,
  finished_at    timestamptz,
  primary key (recipe, store_id)
);
create index environment_builds_waiting on environment_builds (created_at) where store_id = '' or state = 'building';
create index environment_builds_environment on environment_builds (environment_id);
