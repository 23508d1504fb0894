-- Model requests of harnesses that run in sandboxes, as the model gateway saw them. Those of the resident harness are in
-- `model_spans`, which belongs to the log: these are not on it by themselves.
create table model_requests (
  id                 bigint generated always as identity primary key,
  -- the writer's own: a batch whose outcome was unknown is written again
  key                uuid not null unique,
  session_id         text not null references sessions on delete cascade,
  model              text not null,
  started_at         timestamptz not null,
  -- of the provider; null: it gave none
  status             int,
  first_token_ms     double precision,
  total_ms           double precision not null,
  input_tokens       bigint not null,
  output_tokens      bigint not null,
  cache_read_tokens  bigint not null,
  cache_write_tokens bigint not null
);
create index model_requests_session on model_requests (session_id, id);
