import type { Requirements } from "./requirement.ts";

/** Vaults, credentials, and what sessions do with them. */
export const VAULTS = {
  "vaults.lifecycle": [
    "contract §9",
    "Create, retrieve, update (null keeps, metadata is merged), list newest first, archive, delete.",
  ],
  "vaults.archive": [
    "semantics §10",
    "Archive takes the credentials along, purges the secrets, keeps the records; again changes nothing.",
  ],
  "vaults.write-only": ["semantics §10", "No answer has a secret: not of create, retrieve, update, list, archive, and no error."],
  "vaults.duplicate": [
    "semantics §10",
    "A second active credential for a server (normalised) or a variable: 409, with the observed text; archive frees it.",
  ],
  "vaults.credentials-max": ["semantics §23", "20 active credentials a vault."],
  "vaults.immutable": ["contract §9", "mcp_server_url, secret_name, token_endpoint, client_id and the type cannot change."],
  "vaults.injection": [
    "semantics §10",
    'Whole object omitted: both; a field omitted: false on create, kept on update; both false or null: 400 "omit the field instead".',
  ],
  "vaults.hosts": ["contract §9", "At most 16 bare hosts, IPv4 addresses or `*.x`; scheme, port, path and IPv6 are a 400."],
  "vaults.expiry": ["contract §9", "expires_at must be in the future; a new token without one keeps the old."],
  "vaults.null-keeps": [
    "contract §9",
    "null and what is left out keep what is stored; an empty scope clears it.",
    "credential-names",
  ],
  "vaults.validate": [
    "contract §9",
    "mcp_oauth_validate probes the server, refreshes on a 401 only, and shows scrubbed answers.",
  ],
  "vaults.session-create": [
    "semantics §4.1",
    "An unknown or archived vault at session create: 400 that names it; else stored and shown.",
  ],
  "vaults.session-goes-on": ["semantics §10", "A session whose vault is archived goes on without it."],
  "vaults.placeholder": [
    "semantics §10",
    "The sandbox has a placeholder; the gateway puts the secret in, in the enabled places, for the allowed hosts only.",
  ],
  "vaults.rotation": ["semantics §10", "A new secret, and an archive, reach a sandbox that runs."],
  "vaults.first-wins": ["semantics §9", "Of two vaults with one variable, the first of the session counts."],
  "vaults.llm": [
    "design §5",
    "An LLM vault takes an unbound key, which goes to its base URL; the server's own key does not.",
    "llm-vaults",
  ],
} as const satisfies Requirements;
