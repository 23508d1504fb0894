import type { Requirements } from "./requirement.ts";

/** Agents, environments, models: what sessions are made of. */
export const RESOURCES = {
  "agents.create-defaults": [
    "semantics §2",
    "Only `name` and `model` are required; version 1, nulls and empty lists, effort and speed filled in, never absent.",
  ],
  "agents.create-limits": [
    "semantics §23",
    "name 1–256, description 2,048, system 100,000 characters, 256 tools, 20 MCP servers.",
  ],
  "agents.toolset-resolved": [
    "contract §3.2",
    "A toolset's defaults and configs come back resolved: type, enabled, permission_policy.",
  ],
  "agents.policy-defaults": ["semantics §8", "The built-in toolset defaults to always_allow, MCP toolsets to always_ask."],
  "agents.builtin-as-toolset": ["semantics §2", 'Built-in tools come only as the toolset: `{"type":"bash"}` is a 400.'],
  "agents.custom-tool-rules": [
    "semantics §2",
    "Custom tools: unique valid names, not built-in, not `mcp__…`, a description, no $ref, no top-level oneOf/anyOf/allOf.",
  ],
  "agents.mcp-cross-checks": [
    "semantics §2",
    "Each MCP server is referenced by a toolset and each toolset's server is declared, else 400.",
  ],
  "agents.domain-lists": ["semantics §7", "Domain lists of web tools are checked, with the official messages."],
  "agents.model-combination": ["semantics §2", "An effort or speed the model does not support is a 400.", "model-table"],
  "agents.update-keeps": ["semantics §2", "A field left out is kept; lists are replaced whole; null or [] clears them."],
  "agents.update-clears": ["semantics §2", 'null or "" clears system and description; name and model cannot be cleared.'],
  "agents.update-effort": ["semantics §2", "Same model without effort keeps the effort; another model gets its default."],
  "agents.update-new-version": ["semantics §2", "A change makes version+1; versions never change afterwards."],
  "agents.update-noop": ["semantics §2", "No effective change: no new version, the stored agent is returned."],
  "agents.update-stale": ["semantics §2", "A `version` that is not the current one: 409 conflict_error, even for a no-op."],
  "agents.update-current": ["semantics §2", "The current `version`, or none, updates."],
  "agents.update-archived": ["semantics §2", "An archived agent is read-only."],
  "agents.versions": ["semantics §2", "versions.list has full snapshots, newest first; `?version=n` retrieves one."],
  "agents.unknown-version": ["semantics §2", "A version that does not exist: 404."],
  "agents.archive": ["semantics §25 no. 16", "Archive sets archived_at, makes no version, and again changes nothing."],
  "agents.archived-unlisted": ["contract §3", "Archived agents are listed with include_archived only."],
  "agents.archived-sessions": ["semantics §2", "Sessions of an archived agent go on; new ones are a 400."],
  "agents.list-filter": ["contract §3", "created_at[gte] and [lte] are inclusive."],
  "agents.snapshot": ["semantics §2", "A later update never changes a session that exists."],
  "agents.unknown-id": ["contract §1.7", "An unknown id: 404 not_found_error."],
  "agents.skills": ["contract §3", "Skills are kept with their version; one left out is resolved.", "skills-latest"],

  "environments.name-only": ["semantics §3", "A name is enough: cloud, unrestricted, empty packages."],
  "environments.limited-defaults": ["contract §4", "limited: allow_* default to false, allowed_hosts to []."],
  "environments.hosts": ["semantics §3", "allowed_hosts are bare hosts or `*.` wildcards: no scheme, port or path."],
  "environments.packages-limited": ["contract §4", "Packages with limited networking need allow_package_managers."],
  "environments.packages-failed": [
    "semantics §3",
    "A failed installation is a session.error (unknown_error) with the end of its output; the session is usable.",
    "packages",
  ],
  "environments.image": [
    "semantics §3",
    "An environment may have a system of its own, from a file or a registry; one that cannot be used is said.",
    "environment-image",
  ],
  "environments.prepared": [
    "semantics §3",
    "An environment is prepared before commands run, for all its sessions; a change applies to sandboxes made afterwards.",
    "environment-setup",
  ],
  "environments.same-name": ["semantics §25 no. 2", "Names may repeat.", "env-delete"],
  "environments.update-keeps": [
    "contract §4",
    "config, networking, packages and their fields that are left out or null are kept.",
  ],
  "environments.metadata-empty": ["semantics §3", 'null or "" deletes a metadata key; bad metadata is `invalid_metadata`.'],
  "environments.type-immutable": ["contract §4", "Another config.type: 400 invalid_config_type_change."],
  "environments.scope": ["contract §4", 'scope "account" is refused.'],
  "environments.archive": [
    "semantics §3",
    "Archived: read-only (400 environment_archived), no new sessions; again changes nothing.",
  ],
  "environments.archived-unlisted": ["contract §2", "Archived environments are listed with include_archived only."],
  "environments.delete": ["contract §4", "Delete answers `environment_deleted`; afterwards 404."],
  "environments.delete-used": ["semantics §3", "Delete is refused while a session references it.", "env-delete"],
  "environments.unknown-id": ["contract §1.7", "An unknown id: 404 not_found_error."],

  "models.list": ["contract §14", "Newest release first; active and deprecated by default; lifecycle[] filters."],
  "models.retrieve": ["contract §14", "By id or alias; unknown: 404."],
  "models.unknown-model": ["design §9", "A model the server does not list is taken as it is; its provider judges.", "model-ids"],
} as const satisfies Requirements;
