/** Host names in domain lists of web tools and in network policies (contract §3.2, §4; semantics §3, §7). */
const HOST_CHARS_MAX = 255;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i;
const IPV4 = /^\d{1,3}(?:\.\d{1,3}){3}$/;
const PRIVATE_SUFFIXES = new Set(["localhost", "local", "internal"]);
const EXAMPLE = 'provide a plain hostname like "example.com"';

function isHostname(host: string): boolean {
  return host.length <= HOST_CHARS_MAX && host.split(".").every((label) => LABEL.test(label));
}

/** What is wrong with an entry of a web tool's domain list, or `null`. Only `web_search` entries may carry a path. */
export function describeWebDomainProblem(entry: string, options: { path: boolean }): string | null {
  if (entry.length === 0 || entry.length > HOST_CHARS_MAX) return `Domains have 1 to ${HOST_CHARS_MAX} characters; ${EXAMPLE}`;
  if (entry.includes("://")) return `Schemes are not supported; ${EXAMPLE}`;
  if (entry.includes("*")) return `Wildcards are not supported; subdomains always match; ${EXAMPLE}`;
  const [host = "", ...path] = entry.split("/");
  if (path.length > 0 && !options.path) return `Paths are not supported; ${EXAMPLE}`;
  if (IPV4.test(host) || host.startsWith("[") || host.split(":").length > 2) return `IP addresses are not supported; ${EXAMPLE}`;
  if (host.includes(":")) return `Ports are not supported; ${EXAMPLE}`;
  if (!isHostname(host)) return `Not a hostname in ASCII (use punycode for others); ${EXAMPLE}`;
  const labels = host.toLowerCase().split(".");
  if (labels.length < 2 || PRIVATE_SUFFIXES.has(labels.at(-1) ?? "")) return `Not a public domain; ${EXAMPLE}`;
  return null;
}

/** What is wrong with an entry of a network policy's `allowed_hosts`, or `null`: a bare host, an IPv4 address or `*.x`. */
export function describeAllowedHostProblem(entry: string): string | null {
  const rule = 'must be a bare hostname like "api.example.com" or a wildcard like "*.example.com"';
  if (entry.includes("://")) return `${rule}, without a scheme`;
  if (entry.includes("/")) return `${rule}, without a path`;
  if (entry.startsWith("[") || entry.split(":").length > 2) return `${rule}; IPv6 addresses are not supported`;
  if (entry.includes(":")) return `${rule}, without a port`;
  return isHostname(entry.startsWith("*.") ? entry.slice(2) : entry) ? null : rule;
}
