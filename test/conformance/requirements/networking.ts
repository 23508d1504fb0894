import type { Requirements } from "./requirement.ts";

/** What sessions reach outside, and what they are told of the rest. */
export const NETWORKING = {
  "networking.limited": [
    "semantics §3",
    "limited: a bare host matches exactly, *.x its subdomains and not x; nothing else goes out.",
  ],
  "networking.unrestricted": ["semantics §3", "unrestricted: all egress but a blocklist."],
  "networking.denial": ["issue 3", "A denial is a response that the agent can read: which host, which policy, how to allow it."],
  "networking.mcp-hosts": ["semantics §3", "allow_mcp_servers adds the hosts of the agent's MCP servers."],
  "networking.mcp-refused": [
    "semantics §3",
    "limited without allow_mcp_servers, and an MCP host that is not in allowed_hosts: 400 at create and update.",
  ],
  "networking.change": ["issue 3", "A change of the environment's policy reaches running sandboxes within seconds."],
  "networking.unreachable": [
    "semantics §10",
    "A credential's host that the environment does not permit: credential_host_unreachable_error, and the session goes on.",
  ],
  "networking.audit": ["issue 3", "Each request leaves a row of its session: host, verdict, bytes, credential id; no secrets."],
} as const satisfies Requirements;
