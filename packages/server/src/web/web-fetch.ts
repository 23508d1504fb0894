import type { GuardedFetch } from "@sandbox0/egress";
import type { EnvironmentConfig, UrlSources } from "@sandbox0/protocol";
import type { Queryable } from "../store/query.ts";
import type { Extractor } from "./extractor.ts";
import { getPage } from "./get-page.ts";
import { pageText } from "./page-text.ts";
import { isShownUrl } from "./shown-urls.ts";
import type { Turnstile } from "./turnstile.ts";
import { URL_CHARS_MAX, withoutFragment } from "./url-text.ts";
import { type DomainLists, describeUrlProblem } from "./web-policy.ts";
import { textResult, type WebResult, WebToolError } from "./web-result.ts";

/** A usual estimate for English text; what counts is that there is a bound. */
const CHARS_PER_TOKEN = 4;

/** The tool's configuration as the session's agent has it (contract §3.2). */
export interface WebFetchConfig extends DomainLists {
  max_content_tokens?: number | null | undefined;
  url_sources?: UrlSources | null;
}

export interface WebFetchDeps {
  db: Queryable;
  fetch: GuardedFetch["fetch"];
  extractor: Extractor;
  turnstile: Turnstile;
  blockedHosts: readonly string[];
}

export interface WebCall<Config> {
  sessionId: string;
  input: Record<string, unknown>;
  config: Config;
  environment: EnvironmentConfig;
  signal: AbortSignal;
}

/** @throws WebToolError */
export async function webFetch(deps: WebFetchDeps, call: WebCall<WebFetchConfig>): Promise<WebResult> {
  const { config, environment, signal } = call;
  const url = readUrl(call.input.url);
  const rules = { lists: config, environment, blockedHosts: deps.blockedHosts };
  const describeProblem = (hop: URL) => describeUrlProblem(hop, rules);
  const problem = describeProblem(url);
  if (problem !== null) throw new WebToolError("url_not_allowed", problem);
  if (!(await isShownUrl(deps.db, call.sessionId, url, config.url_sources ?? null)))
    throw new WebToolError(
      "url_not_in_prior_context",
      "only URLs that this session has shown can be fetched: in a user's message, a search result, or a page that was fetched before",
    );
  return deps.turnstile.pass(call.sessionId, signal, async () => {
    const page = await getPage(url, deps.fetch, describeProblem, signal);
    const { kind, title, text } = await pageText(page, deps.extractor, signal);
    const heading = [`URL: ${page.url.href}`, ...(title === null ? [] : [`Title: ${title.replace(/\s+/g, " ")}`])];
    const content = kind === "binary" ? text : cutToTokens(text, config.max_content_tokens ?? null);
    return textResult(`${heading.join("\n")}\n\n${content.trim() === "" ? "(the page has no text)" : content}`);
  });
}

function readUrl(input: unknown): URL {
  if (typeof input !== "string" || input.trim() === "") throw new WebToolError("invalid_input", "url must be a non-empty string");
  const text = input.trim();
  if (text.length > URL_CHARS_MAX) throw new WebToolError("url_too_long", `a URL may have at most ${URL_CHARS_MAX} characters`);
  const url = URL.parse(text);
  if (url === null) throw new WebToolError("invalid_input", "url is not an absolute URL");
  if (!/^https?:$/.test(url.protocol)) throw new WebToolError("invalid_input", "only http and https URLs can be fetched");
  if (url.username !== "" || url.password !== "")
    throw new WebToolError("invalid_input", "a URL with a user name or password cannot be fetched");
  return withoutFragment(url);
}

function cutToTokens(text: string, tokensMax: number | null): string {
  const charsMax = (tokensMax ?? Number.POSITIVE_INFINITY) * CHARS_PER_TOKEN;
  if (text.length <= charsMax) return text;
  return `${text.slice(0, charsMax)}\n\n[cut here: max_content_tokens is ${tokensMax}, and the page has ${text.length - charsMax} more characters]`;
}
