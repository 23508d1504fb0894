import { readStart } from "../../resources/read-start.ts";
import { SearchFailed } from "./provider.ts";

export const SEARCH_MS = 20_000;
export const SEARCH_BYTES_MAX = 4 * 1024 * 1024;

export type SearchFetch = (url: string, init: RequestInit) => Promise<Response>;

export interface JsonAnswer {
  status: number;
  body: unknown;
}

/** One request to the operator's search service. Redirects are not followed: the key is for this address alone. */
export async function getJson(fetch: SearchFetch, url: string, init: RequestInit, stop: AbortSignal): Promise<JsonAnswer> {
  const deadline = AbortSignal.timeout(SEARCH_MS);
  try {
    const response = await fetch(url, { ...init, redirect: "manual", signal: AbortSignal.any([stop, deadline]) });
    const { bytes, complete } = await readStart(response, SEARCH_BYTES_MAX);
    if (!complete) throw new SearchFailed(`the search service answered more than ${SEARCH_BYTES_MAX} bytes`);
    if (!response.ok) return { status: response.status, body: null };
    return { status: response.status, body: JSON.parse(bytes.toString("utf8")) };
  } catch (error) {
    if (error instanceof SearchFailed) throw error;
    if (deadline.aborted) throw new SearchFailed(`the search service did not answer within ${SEARCH_MS / 1000} seconds`);
    if (error instanceof SyntaxError) throw new SearchFailed("the search service answered something that is not JSON");
    throw new SearchFailed("the search service could not be reached");
  }
}

/** The hits of an answer in whatever shape it comes: what has no URL is none. */
export function hitsOf(results: unknown, textField: string): { url: string; title: string; text: string }[] {
  if (!Array.isArray(results)) return [];
  return results.flatMap((result: unknown) => {
    const fields = (result ?? {}) as Record<string, unknown>;
    const text = (name: string) => (typeof fields[name] === "string" ? fields[name] : "");
    return text("url") === "" ? [] : [{ url: text("url"), title: text("title"), text: text(textField) }];
  });
}

/** Search engines take a few of these operators; more make the query too long. */
const SITES_IN_QUERY_MAX = 5;

export function withSites(query: string, sites: readonly string[], excludedSites: readonly string[]): string {
  const some = sites.length > SITES_IN_QUERY_MAX ? [] : sites.map((site) => `site:${site}`);
  const without = excludedSites.length > SITES_IN_QUERY_MAX ? [] : excludedSites.map((site) => `-site:${site}`);
  const wish = some.length > 1 ? [`(${some.join(" OR ")})`] : some;
  return [query, ...wish, ...without].join(" ");
}

export function failedWith(status: number, hints: Readonly<Record<number, string>> = {}): SearchFailed {
  const hint = hints[status] ?? "";
  return new SearchFailed(`the search service answered ${status}${hint === "" ? "" : `: ${hint}`}`);
}
