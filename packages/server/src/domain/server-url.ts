/**
 * The one form of an MCP server's address by which it is compared (semantics §9): scheme and host in lower case, no default
 * port, no trailing slash, no fragment. Another path, subdomain or port is another server.
 * @throws TypeError when it is not a URL
 */
export function normalizeServerUrl(text: string): string {
  const url = new URL(text);
  return `${url.protocol}//${url.host}${url.pathname.replace(/\/+$/, "")}${url.search}`;
}
