import { EgressError } from "./egress-error.ts";
import { hostInUrl, hostMatchesAny } from "./host.ts";
import type { RepositoryRule, SandboxPolicy } from "./port.ts";

/** Where sandboxes may connect to: the web. An allowed host says nothing of its mail, database or ssh server. */
export const WEB_PORTS: readonly number[] = [80, 443];

const HTTPS_PORT = 443;

/**
 * Why a sandbox with this policy may not go to `host` (canonical) at `port`; `null`: it may. `forGit`: for nothing but git
 * with a repository of the session, because the request is that, or because each request of the connection is looked at.
 */
export type DenialOf = (policy: SandboxPolicy | null, host: string, port: number, forGit?: boolean) => EgressError | null;

export const createPolicyRules =
  (ports: readonly number[]): DenialOf =>
  (policy, host, port, forGit = false) => {
    if (!policy) return noPolicy();
    if (!ports.includes(port)) return portDenied(host, port, ports);
    const { networking } = policy;
    if (networking.type === "unrestricted") {
      return hostMatchesAny(networking.blockedHosts, host) ? hostBlocked(host) : null;
    }
    if (hostMatchesAny(networking.allowedHosts, host)) return null;
    const repositories = policy.repositories.filter((rule) => rule.host === host);
    if (forGit && repositories.some((rule) => rule.port === port)) return null;
    return repositories.length > 0 ? onlyForGit(host, repositories) : hostNotAllowed(host);
  };

/**
 * Whether connections to `host` must be opened: a credential of the session may be put into their requests, or some of
 * them are git with a repository of the session.
 */
export const mustBeOpened = ({ credentials, repositories }: SandboxPolicy, host: string): boolean =>
  repositories.some((rule) => rule.host === host) ||
  credentials.some(({ hosts }) => hosts === null || hostMatchesAny(hosts, host));

const noPolicy = (): EgressError =>
  new EgressError(
    "denied",
    "no_policy",
    "No session has this sandbox, or its network policy cannot be read. Without a policy nothing goes out.",
  );

const portDenied = (host: string, port: number, ports: readonly number[]): EgressError =>
  new EgressError(
    "denied",
    "port_not_allowed",
    `Port ${port} of ${host} is closed to sandboxes, whatever the network policy of the environment: ` +
      `only ${ports.join(", ")} are open. Only the operator of this server can open more.`,
  );

const hostBlocked = (host: string): EgressError =>
  new EgressError(
    "denied",
    "host_blocked",
    `${host} is on this server's blocklist for sandboxes. Only the operator of this server can allow it.`,
  );

const hostNotAllowed = (host: string): EgressError =>
  new EgressError(
    "denied",
    "host_not_allowed",
    `${host} is not among the allowed hosts of this session's environment (networking: limited). ` +
      `To allow it, add "${host}" to config.networking.allowed_hosts of the environment, or set its ` +
      "allow_package_managers or allow_mcp_servers if the host is a package registry or one of the agent's MCP servers.",
  );

const onlyForGit = (host: string, repositories: readonly RepositoryRule[]): EgressError =>
  new EgressError(
    "denied",
    "host_not_allowed",
    `${host} is not among the allowed hosts of this session's environment (networking: limited): it is open only for git over ` +
      `https with ${repositories.map(addressOf).join(", ")}. ` +
      `To allow all of it, add "${host}" to config.networking.allowed_hosts of the environment.`,
  );

const addressOf = ({ host, port, path }: RepositoryRule): string =>
  `https://${hostInUrl(host)}${port === HTTPS_PORT ? "" : `:${port}`}${path}`;
