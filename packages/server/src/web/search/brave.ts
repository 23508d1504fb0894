import { failedWith, getJson, hitsOf, type SearchFetch, withSites } from "./get-json.ts";
import type { SearchLocation, SearchProvider } from "./provider.ts";

/** The most that the API gives for one request. */
const COUNT_MAX = 20;
const HINTS = {
  401: "the key is not accepted",
  403: "the key is not accepted",
  422: "the query is not accepted",
  429: "its rate limit is reached",
};

/** Brave Search API: `GET /res/v1/web/search` with `X-Subscription-Token`. */
export function createBraveSearch(options: { baseUrl: string; key: string; fetch: SearchFetch }): SearchProvider {
  return {
    name: "brave",
    async search({ query, count, location, sites, excludedSites, signal }) {
      const url = new URL(`${options.baseUrl}/res/v1/web/search`);
      url.searchParams.set("q", withSites(query, sites, excludedSites));
      url.searchParams.set("count", String(Math.min(count, COUNT_MAX)));
      url.searchParams.set("text_decorations", "false");
      const headers = { accept: "application/json", "x-subscription-token": options.key, ...locationHeaders(location) };
      const { status, body } = await getJson(options.fetch, url.href, { headers }, signal);
      if (body === null) throw failedWith(status, HINTS);
      return hitsOf((body as { web?: { results?: unknown } }).web?.results, "description");
    },
  };
}

function locationHeaders(location: SearchLocation | null): Record<string, string> {
  const named = {
    "x-loc-city": location?.city,
    "x-loc-state-name": location?.region,
    "x-loc-country": location?.country,
    "x-loc-timezone": location?.timezone,
  };
  return Object.fromEntries(Object.entries(named).flatMap(([name, value]) => (value ? [[name, asciiOf(value)]] : [])));
}

/** Headers take ASCII: Zürich becomes Zurich. */
function asciiOf(text: string): string {
  return text.normalize("NFKD").replace(/[^\x20-\x7e]/g, "");
}
