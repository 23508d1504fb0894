/** A repository as git finds it over https. */
export interface RepositoryRemote {
  /** What git is given. */
  url: string;
  /** Lower case, without a trailing dot or brackets. */
  host: string;
  port: number;
  /** `/owner/name`, without `.git`. */
  path: string;
}

const HTTPS_PORT = 443;

/** @param url of a repository resource, checked when the session was given it */
export function remoteOf(url: string): RepositoryRemote {
  const { href, hostname, port, pathname } = new URL(url);
  return {
    // Dot segments and letters of the host as the parser has them: git would send them as they are.
    url: href,
    host: hostname.replace(/^\[(.*)\]$/, "$1").replace(/[.]$/, ""),
    port: port === "" ? HTTPS_PORT : Number(port),
    path: pathname.replace(/[.]git$/, ""),
  };
}
