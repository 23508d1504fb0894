import { EgressError, hostMatches } from "@sandbox0/egress";

const REDIRECTS_MAX = 5;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];

export interface RegistryFetchOptions {
  /** Checks which address it dials, and follows no redirect when told so. */
  fetch: typeof fetch;
  /** Hosts with ports that may be asked by HTTP without TLS. */
  plainHttp: readonly string[];
  /** Hosts and `*.x` that nobody may reach. */
  blockedHosts: readonly string[];
}

export type RegistryFetch = (
  url: URL,
  init: { headers: Readonly<Record<string, string>>; signal: AbortSignal },
) => Promise<Response>;

/**
 * Gets what registries have, and what they redirect to, by https, or from the hosts that the operator has named. A token goes to
 * nobody but the host that it is for. Rejects with `EgressError`, or as `fetch` does.
 */
export function createRegistryFetch({ fetch, plainHttp, blockedHosts }: RegistryFetchOptions): RegistryFetch {
  const check = (url: URL): void => {
    const isOpen = url.protocol === "https:" || (url.protocol === "http:" && plainHttp.includes(url.host));
    if (!isOpen)
      throw new EgressError("denied", "scheme_not_allowed", `${url.host} is not asked without https (SANDBOX0_IMAGE_PLAIN_HTTP)`);
    if (url.username !== "" || url.password !== "") throw new EgressError("denied", "credentials_in_url", "the URL has a login");
    if (blockedHosts.some((rule) => hostMatches(rule, url.hostname))) {
      throw new EgressError("denied", "host_blocked", `this server's operator has blocked ${url.hostname}`);
    }
  };
  return async (first, init) => {
    let [url, headers] = [first, init.headers];
    for (let redirects = 0; ; redirects++) {
      check(url);
      const response = await fetch(url, { headers, signal: init.signal, redirect: "manual" });
      const location = response.headers.get("location");
      if (location === null || !REDIRECTS.includes(response.status)) return response;
      await response.body?.cancel();
      const next = URL.parse(location, url.href);
      if (next === null || redirects === REDIRECTS_MAX) {
        throw new EgressError("failed", "too_many_redirects", `${url.host} redirects to nowhere, or too often`);
      }
      if (next.origin !== url.origin) {
        const { authorization: _, ...others } = headers;
        headers = others;
      }
      url = next;
    }
  };
}
