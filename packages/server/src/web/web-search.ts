import type { SearchHit, SearchLocation, SearchProvider } from "./search/provider.ts";
import { SearchFailed } from "./search/provider.ts";
import type { Turnstile } from "./turnstile.ts";
import type { WebCall } from "./web-fetch.ts";
import { type DomainLists, describeUrlProblem, type WebRules } from "./web-policy.ts";
import { textResult, type WebResult, WebToolError } from "./web-result.ts";

export const QUERY_CHARS_MAX = 1_000;
/** Asked for, because some may be dropped, and given to the model. */
const ASKED_MAX = 20;
const GIVEN_MAX = 10;
const TITLE_CHARS_MAX = 300;
const TEXT_CHARS_MAX = 2_000;
const HTML_CHARS_MAX = 10_000;

/** The tool's configuration as the session's agent has it (contract §3.2). */
export interface WebSearchConfig extends DomainLists {
  user_location?: SearchLocation | null | undefined;
}

export interface WebSearchDeps {
  /** `null`: the operator has configured none. */
  search: SearchProvider | null;
  turnstile: Turnstile;
  blockedHosts: readonly string[];
}

const NOT_CONFIGURED =
  "web_search is not configured on this server. Its operator can set SANDBOX0_WEB_SEARCH to brave, tavily or searxng.";

/** Results that the lists or the network policy shut out are dropped, without a word (semantics §7). @throws WebToolError */
export async function webSearch(deps: WebSearchDeps, call: WebCall<WebSearchConfig>): Promise<WebResult> {
  const { search } = deps;
  const { input, config, environment, signal } = call;
  if (search === null) throw new WebToolError("unavailable", NOT_CONFIGURED);
  const query = typeof input.query === "string" ? input.query.trim() : "";
  if (query === "") throw new WebToolError("invalid_input", "query must be a non-empty string");
  if (query.length > QUERY_CHARS_MAX)
    throw new WebToolError("invalid_input", `a query may have at most ${QUERY_CHARS_MAX} characters`);
  const rules: WebRules = { lists: config, environment, blockedHosts: deps.blockedHosts };
  const sites = sitesOf(rules);
  // Nothing could be left of an answer: nobody is asked.
  if (sites?.length === 0) return textResult(NOTHING);
  const asked = {
    query,
    count: ASKED_MAX,
    location: config.user_location ?? null,
    sites: sites ?? [],
    excludedSites: (config.blocked_domains ?? []).map(hostPart),
    signal,
  };
  const hits = await deps.turnstile.pass(call.sessionId, signal, () => find(search, asked));
  const plain = await loadPlain();
  const blocks = hits
    .filter((hit) => isAllowed(hit, rules))
    .slice(0, GIVEN_MAX)
    .map((hit) => toBlock(hit, plain));
  return blocks.length > 0 ? { content: blocks, isError: false } : textResult(NOTHING);
}

const NOTHING = "No results.";

async function find(search: SearchProvider, asked: Parameters<SearchProvider["search"]>[0]): Promise<SearchHit[]> {
  try {
    return await search.search(asked);
  } catch (error) {
    if (error instanceof SearchFailed) throw new WebToolError("unavailable", error.message);
    throw error;
  }
}

/** Where results may come from; `null`: anywhere. What both name in their own way is left to the filter. */
function sitesOf({ lists, environment }: WebRules): string[] | null {
  const isLimited = environment.type === "cloud" && environment.networking.type === "limited";
  const hosts = isLimited && environment.networking.type === "limited" ? environment.networking.allowed_hosts : null;
  if (hosts?.length === 0) return [];
  const domains = lists.allowed_domains ?? hosts?.map((host) => host.replace(/^\*\./, ""));
  return domains ? [...new Set(domains.map(hostPart))] : null;
}

function hostPart(domain: string): string {
  return domain.split("/")[0] ?? domain;
}

function isAllowed(hit: SearchHit, rules: WebRules): boolean {
  const url = URL.parse(hit.url);
  return url !== null && /^https?:$/.test(url.protocol) && describeUrlProblem(url, rules) === null;
}

function toBlock(hit: SearchHit, plain: (text: string) => string): WebResult["content"][number] {
  const title = plain(hit.title).slice(0, TITLE_CHARS_MAX) || hit.url;
  const text = plain(hit.text).slice(0, TEXT_CHARS_MAX) || title;
  return { type: "search_result", source: hit.url, title, content: [{ type: "text", text }], citations: { enabled: false } };
}

/** Services mark words with tags and write entities. What reads them is loaded by the first search, not by every start. */
async function loadPlain(): Promise<(text: string) => string> {
  const { convert } = await import("html-to-text");
  return (text) => convert(text.slice(0, HTML_CHARS_MAX), { wordwrap: false, limits: { maxDepth: 20 } }).trim();
}
