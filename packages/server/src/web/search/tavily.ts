import { failedWith, getJson, hitsOf, type JsonAnswer, type SearchFetch } from "./get-json.ts";
import type { SearchProvider } from "./provider.ts";

const COUNT_MAX = 20;
const HINTS = {
  401: "the key is not accepted",
  429: "its rate limit is reached",
  432: "the plan's limit is reached",
  433: "the spending limit is reached",
};

/** Tavily: `POST /search` with a bearer key. */
export function createTavilySearch(options: { baseUrl: string; key: string; fetch: SearchFetch }): SearchProvider {
  const ask = (asked: Record<string, unknown>, signal: AbortSignal): Promise<JsonAnswer> => {
    const headers = { authorization: `Bearer ${options.key}`, "content-type": "application/json" };
    return getJson(options.fetch, `${options.baseUrl}/search`, { method: "POST", headers, body: JSON.stringify(asked) }, signal);
  };
  return {
    name: "tavily",
    async search({ query, count, location, sites, excludedSites, signal }) {
      const asked = {
        query,
        max_results: Math.min(count, COUNT_MAX),
        ...(sites.length === 0 ? {} : { include_domains: sites }),
        ...(excludedSites.length === 0 ? {} : { exclude_domains: excludedSites }),
      };
      const country = location?.country ? countryName(location.country) : null;
      let answer = await ask(country === null ? asked : { ...asked, country }, signal);
      // It knows some countries, under names of its own; for the others there are results without.
      if (answer.status === 400 && country !== null) answer = await ask(asked, signal);
      if (answer.body === null) throw failedWith(answer.status, HINTS);
      return hitsOf((answer.body as { results?: unknown }).results, "content");
    },
  };
}

function countryName(code: string): string | null {
  return new Intl.DisplayNames(["en"], { type: "region", fallback: "none" }).of(code)?.toLowerCase() ?? null;
}
