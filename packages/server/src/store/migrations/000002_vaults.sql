-- Vaults. A secret is nowhere but in `vault_secrets.ciphertext` (AES-256-GCM under the vault's data key).

-- The local master keys that wrapped something here, by a fingerprint that tells nothing of the key. A server without the
-- current one refuses to work with vaults. `wrapped` hands a new key to the servers that still have only the one before:
-- wrapped by that one, for a few minutes.
create table master_keys (
  id            text primary key,
  current       boolean not null,
  created_at    timestamptz not null default now(),
  wrapped_by    text,
  wrapped       bytea,
  wrapped_until timestamptz
);
create unique index master_keys_current on master_keys (current) where current;

create table vaults (
  id           text primary key,
  workspace_id text not null references workspaces,
  display_name text not null,
  metadata     jsonb not null default '{}',
  created_at   timestamptz not null,
  updated_at   timestamptz not null,
  archived_at  timestamptz
);
create index vaults_workspace on vaults (workspace_id, created_at desc, id desc);

-- One live data key a vault; gone with its archive, and with it whatever backups of the secrets hold.
create table vault_data_keys (
  vault_id      text primary key references vaults on delete cascade,
  workspace_id  text not null references workspaces,
  version       int not null,
  master_key_id text not null,
  wrapped       bytea not null
);
create index vault_data_keys_master on vault_data_keys (master_key_id);

create table vault_credentials (
  id             text primary key,
  vault_id       text not null references vaults on delete cascade,
  workspace_id   text not null references workspaces,
  type           text not null check (type in ('mcp_oauth', 'static_bearer', 'environment_variable')),
  -- what it is for, unique among the active ones of a vault: `mcp ` and the normalised URL, `env ` and the name, `llm`
  purpose        text not null,
  display_name   text,
  metadata       jsonb not null default '{}',
  -- as the API shows it, without expires_at
  auth           jsonb not null,
  -- of an OAuth access token
  expires_at     timestamptz,
  created_at     timestamptz not null,
  updated_at     timestamptz not null,
  archived_at    timestamptz,
  -- raised whenever a secret of it changes
  secrets_version bigint not null default 1,
  -- the one server that asks the token endpoint now, until when it may be presumed alive
  refresh_lease  text,
  refresh_until  timestamptz,
  -- how the last refresh of these secrets failed; null after a success and after any change of them
  refresh_error  text check (refresh_error in ('failed', 'connect_error')),
  refresh_failed_at timestamptz
);
create index vault_credentials_vault on vault_credentials (vault_id, created_at desc, id desc);
create unique index vault_credentials_purpose on vault_credentials (vault_id, purpose) where archived_at is null;
create index vault_credentials_expiry on vault_credentials (expires_at)
  where archived_at is null and type = 'mcp_oauth' and expires_at is not null;

-- One row a secret: of which credential, which field, under which version of the vault's data key.
create table vault_secrets (
  credential_id text not null references vault_credentials on delete cascade,
  field         text not null check (field in ('token', 'access_token', 'refresh_token', 'client_secret', 'secret_value')),
  vault_id      text not null,
  workspace_id  text not null references workspaces,
  key_version   int not null,
  ciphertext    bytea not null,
  primary key (credential_id, field)
);
create index vault_secrets_vault on vault_secrets (vault_id);
