import { EgressError } from "./egress-error.ts";
import { hostMatchesAny } from "./host.ts";
import type { SandboxPolicy } from "./port.ts";

/** Where sandboxes may connect to: the web. An allowed host says nothing of its mail, database or ssh server. */
export const WEB_PORTS: readonly number[] = [80, 443];

/** Why a sandbox with this policy may not go to `host` (canonical) at `port`; `null`: it may. */
export type DenialOf = (policy: SandboxPolicy | null, host: string, port: number) => EgressError | null;

export const createPolicyRules =
  (ports: readonly number[]): DenialOf =>
  (policy, host, port) => {
    if (!policy) return noPolicy();
    if (!ports.includes(port)) return portDenied(host, port, ports);
    const { networking } = policy;
    if (networking.type === "unrestricted") {
      return hostMatchesAny(networking.blockedHosts, host) ? hostBlocked(host) : null;
    }
    return hostMatchesAny(networking.allowedHosts, host) ? null : hostNotAllowed(host);
  };

/** Whether the session has a credential that may be put into requests to `host`: its connections are opened. */
export const hasCredentialFor = (policy: SandboxPolicy, host: string): boolean =>
  policy.credentials.some(({ hosts }) => hosts === null || hostMatchesAny(hosts, host));

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
