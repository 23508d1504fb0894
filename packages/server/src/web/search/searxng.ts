import { failedWith, getJson, hitsOf, type SearchFetch, withSites } from "./get-json.ts";
import type { SearchLocation, SearchProvider } from "./provider.ts";

const HINTS = { 403: "its settings must list json among search.formats", 429: "its limiter is on for this server's address" };

/** A SearXNG instance of the operator's, by its JSON API: no account, no key. */
export function createSearxngSearch(options: { baseUrl: string; fetch: SearchFetch }): SearchProvider {
  return {
    name: "searxng",
    async search({ query, count, location, sites, excludedSites, signal }) {
      const url = new URL(`${options.baseUrl}/search`);
      url.searchParams.set("q", withSites(query, sites, excludedSites));
      url.searchParams.set("format", "json");
      const language = languageOf(location);
      if (language !== null) url.searchParams.set("language", language);
      const { status, body } = await getJson(options.fetch, url.href, { headers: { accept: "application/json" } }, signal);
      if (body === null) throw failedWith(status, HINTS);
      return hitsOf((body as { results?: unknown }).results, "content").slice(0, count);
    },
  };
}

/** It knows regions by a language that is spoken there: `de-DE`. */
function languageOf(location: SearchLocation | null): string | null {
  if (!location?.country) return null;
  const { language, region } = new Intl.Locale(`und-${location.country}`).maximize();
  return language === "und" || region === undefined ? null : `${language}-${region}`;
}
