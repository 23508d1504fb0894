import type { AddressGuard } from "./address-guard.ts";

export interface GuardedFetchOptions {
  /** Asked for the first URL and for each redirect's; a rejection or throw ends the fetch with it. */
  checkUrl?: (url: URL) => void | Promise<void>;
  redirectsMax?: number;
  /** PEM certificates to trust besides the system's. */
  extraCas?: readonly string[];
}

/** `fetch` for the server's own requests (MCP, OAuth, web_fetch). Sizes and times are limited by the caller's signal. */
export interface GuardedFetch {
  fetch: typeof fetch;
  close(): Promise<void>;
}

/** How it is made: `createGuardedFetch(guard, options)`. */
export type CreateGuardedFetch = (guard: AddressGuard, options?: GuardedFetchOptions) => GuardedFetch;
