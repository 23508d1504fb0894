/** Where the user is, as the tool's configuration says (contract §3.2). */
export interface SearchLocation {
  city?: string | null | undefined;
  region?: string | null | undefined;
  /** ISO 3166-1, two capital letters. */
  country?: string | null | undefined;
  /** IANA. */
  timezone?: string | null | undefined;
}

export interface SearchQuery {
  query: string;
  count: number;
  location: SearchLocation | null;
  /** Hosts that results shall come from: a wish, the tool drops what is elsewhere. Empty: anywhere. */
  sites: readonly string[];
  /** Hosts that no result shall come from: a wish as well. */
  excludedSites: readonly string[];
  signal: AbortSignal;
}

export interface SearchHit {
  url: string;
  title: string;
  /** May hold HTML. */
  text: string;
}

/** One search service behind its HTTP API. */
export interface SearchProvider {
  readonly name: string;
  /** @throws SearchFailed */
  search(query: SearchQuery): Promise<SearchHit[]>;
}

/** The service gave no results; the message holds neither the key nor text of the service. */
export class SearchFailed extends Error {
  readonly code = "search_failed";
  constructor(message: string) {
    super(message);
    this.name = "SearchFailed";
  }
}
