import { createBraveSearch } from "../web/search/brave.ts";
import type { SearchProvider } from "../web/search/provider.ts";
import { createSearxngSearch } from "../web/search/searxng.ts";
import { createTavilySearch } from "../web/search/tavily.ts";
import { createExtractor } from "../web/extractor.ts";
import { createWebTools, type WebTools, type WebToolsDeps } from "../web/web-tools.ts";
import type { Config, WebSearchConfig } from "./config.ts";

/** The web tools as this server is configured. `fetch` checks where it goes; pages of strangers are read through it. */
export function createConfiguredWebTools(config: Config, deps: Pick<WebToolsDeps, "db" | "fetch">): WebTools {
  const search = config.webSearch === null ? null : searchProvider(config.webSearch);
  return createWebTools({ ...deps, extractor: createExtractor(), search, blockedHosts: config.egressBlockedHosts });
}

/** The service is at the operator's address, which may be private: asked by the plain `fetch`. */
function searchProvider({ provider, baseUrl, key = "" }: WebSearchConfig): SearchProvider {
  switch (provider) {
    case "brave":
      return createBraveSearch({ baseUrl, key, fetch });
    case "tavily":
      return createTavilySearch({ baseUrl, key, fetch });
    case "searxng":
      return createSearxngSearch({ baseUrl, fetch });
  }
}
