import type { Requirements } from "./requirement.ts";

/** The MCP connector. */
export const MCP = {
  "mcp.call": [
    "semantics §9",
    "An enabled tool of a declared server: agent.mcp_tool_use with the server's and the tool's own names, then its result.",
    "mcp",
  ],
  "mcp.replay": ["semantics §9", "In later turns the model sees its MCP calls and their results under the names it used."],
  "mcp.ask-default": ["semantics §8", "Without a policy every call asks; user.tool_confirmation allows and denies it."],
  "mcp.configs": ["contract §7.4", "A tool that is not enabled is not offered; a call to it is denied without an evaluation."],
  "mcp.bearer": ["semantics §9", "The credential of the first vault whose URL matches, after normalisation, is sent."],
  "mcp.refresh": ["semantics §10", "An OAuth token that the server refuses is refreshed in the middle of a turn, once for all."],
  "mcp.rotation": ["semantics §10", "Rotation and archive of a credential reach sessions that run."],
  "mcp.auth-failure": [
    "semantics §6",
    "No usable credential: mcp_authentication_failed_error retrying, the turn goes on; connected in the next turn if it can be.",
  ],
  "mcp.misbehaviour": [
    "issue 3",
    "Hangs, garbage, redirects and 10 MB replies: a stated outcome, the session alive, no secret in any message.",
  ],
  "mcp.private": ["issue 3", "A server on a private address is refused, unless the operator has opened it."],
  "mcp.results": ["contract §7.4", "Text, images, resources and structured results reach the log and the model."],
  "mcp.spill": ["semantics §7", "A result over 100,000 characters: whole in a file of the sandbox, the model gets a preview."],
  "mcp.interrupt": ["semantics §5.5", "An interrupt cancels a running call and closes it with an error result."],
  "mcp.everything": ["issue 3", "The reference server from npm works, with confirmations, by the official SDK."],
  "mcp.oauth": [
    "issue 3",
    "The reference server behind a real authorization server: tokens that expire in the middle of a session are refreshed.",
  ],
} as const satisfies Requirements;
