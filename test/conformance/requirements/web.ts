import type { Requirements } from "./requirement.ts";

/** The web tools, and permission policy `auto`. */
export const WEB = {
  "web.offered": ["semantics §7", "web_fetch and web_search are built-in tools: on by default, `{url}` and `{query}`."],
  "web.fetch": ["semantics §7", "web_fetch gives a page's text in agent.tool_result; it runs in the server, not in the sandbox."],
  "web.pdf": ["issue 3", "web_fetch reads PDF."],
  "web.ssrf": ["issue 3", "Private, metadata and own addresses are refused, also behind a redirect, with url_not_allowed."],
  "web.prior-context": ["semantics §7", "A URL that the session has not shown: error result url_not_in_prior_context."],
  "web.url-sources": ["contract §3.2", "url_sources says which sources count; what was not set allows all."],
  "web.spill": [
    "semantics §7",
    "A page of more than 100,000 characters: whole in a file of the sandbox, a preview with its path.",
  ],
  "web.max-content-tokens": ["contract §3.2", "max_content_tokens bounds the text of a page."],
  "web.blocked-fetch": ["semantics §7", "A fetch that the lists shut out: is_error, and the content names url_not_allowed."],
  "web.search": ["contract §7.2", "web_search gives search_result blocks; what they name can be fetched."],
  "web.search-lists": ["semantics §7", "Search drops what the domain lists shut out; a path suffix is a prefix of the path."],
  "web.usage": ["semantics §15, contract §6", "Searches that were answered are counted in the usage; fetches are not."],
  "web.search-unset": ["issue 3", "Without a search provider the tool says clearly that it is not configured."],
  "web.limited": ["semantics §3", "limited networking binds both: allowed_hosts only; empty lets nothing through."],
  "web.limited-create": [
    "semantics §3",
    "400 when allowed_domains of an enabled web tool has an entry that is not within allowed_hosts, at create and update.",
  ],
  "web.invalid-later": ["semantics §6", "A web-tool setting that became invalid: session.error, back to idle, no retry."],
  "web.location": ["semantics §7", "user_location names a country and a time zone that exist."],
  "auto.allow": ["contract §7.4", "A call that the judge allows runs: evaluation auto with evaluated_permission allow."],
  "auto.deny": ["semantics §8", "A call judged high-risk never runs: error tool result, and the agent goes on with the turn."],
  "auto.ask": ["semantics §8", "Without a judgement the call is asked for: reason_code indeterminate; a confirmation runs it."],
  "auto.mixed": ["semantics §5.4", "Each call of a response is judged by itself, and runs, waits or is denied by itself."],
  "auto.mcp": ["semantics §8", "Tools of MCP servers are judged like the built-in ones."],
  "auto.disabled": ["semantics §8", "A call of a disabled tool is denied without an evaluation, and nobody is asked."],
} as const satisfies Requirements;
