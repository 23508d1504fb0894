import { hostMatches } from "@sandbox0/egress";
import type { EnvironmentConfig } from "@sandbox0/protocol";

/** The domain lists of a web tool's configuration (contract §3.2): at most one of them is set. */
export interface DomainLists {
  allowed_domains?: readonly string[] | null | undefined;
  blocked_domains?: readonly string[] | null | undefined;
}

/** What binds a web tool in one session. */
export interface WebRules {
  lists: DomainLists;
  environment: EnvironmentConfig;
  /** The operator's: where nothing `unrestricted` goes. */
  blockedHosts: readonly string[];
}

/**
 * Why a web tool may not use this URL, or `null`: the tool's lists, and `limited` networking of the session's environment,
 * whose two flags add nothing here (semantics §3, §7).
 */
export function describeUrlProblem(url: URL, { lists, environment, blockedHosts }: WebRules): string | null {
  const { allowed_domains: allowed, blocked_domains: blocked } = lists;
  const host = hostOf(url);
  if (allowed && !allowed.some((domain) => matchesDomain(url, domain))) return `${host} is not in allowed_domains of this tool`;
  if (blocked?.some((domain) => matchesDomain(url, domain))) return `${host} is in blocked_domains of this tool`;
  if (environment.type !== "cloud") return null;
  if (environment.networking.type === "unrestricted") {
    const isBlocked = blockedHosts.some((entry) => hostMatches(entry, host));
    return isBlocked ? `${host} is blocked by the operator of this server` : null;
  }
  if (environment.networking.allowed_hosts.some((entry) => hostMatches(entry, host))) return null;
  return `${host} is not in allowed_hosts of the session's environment, whose networking is limited`;
}

/**
 * A domain means its host and every subdomain; with a path, what lies under it (semantics §7). Not `hostMatches`, by whose rule
 * (§3) a name without `*.` is that host alone.
 */
function matchesDomain(url: URL, domain: string): boolean {
  const slash = domain.indexOf("/");
  const wanted = (slash < 0 ? domain : domain.slice(0, slash)).toLowerCase();
  const host = hostOf(url);
  if (host !== wanted && !host.endsWith(`.${wanted}`)) return false;
  const path = slash < 0 ? "" : domain.slice(slash).replace(/\/+$/, "");
  return path === "" || url.pathname === path || url.pathname.startsWith(`${path}/`);
}

/** The URL parser has put it in lower case and ASCII; one trailing dot means the same host. */
function hostOf(url: URL): string {
  return url.hostname.replace(/\.$/, "");
}
