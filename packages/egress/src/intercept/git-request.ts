import type { RepositoryRule, SandboxPolicy } from "../port.ts";
import type { RequestHead } from "./exchange.ts";
import { tokensOf } from "./headers.ts";
import type { Target } from "./port.ts";

/**
 * The four requests of git's smart protocol over HTTP (gitprotocol-http(5)), for fetch and push. Compared letter by letter
 * with what goes out: an escape, a dot segment, a second slash or one more parameter, which the host may read in a way of its
 * own, makes it another request.
 */
const GIT_REQUESTS = [
  { method: "GET", rest: "/info/refs?service=git-upload-pack" },
  { method: "GET", rest: "/info/refs?service=git-receive-pack" },
  { method: "POST", rest: "/git-upload-pack" },
  { method: "POST", rest: "/git-receive-pack" },
];
/** The repository of the session that this request is git with; `null`: it is anything else. */
export function repositoryAsked(
  policy: SandboxPolicy,
  { target, scheme }: { target: Target; scheme: "https" | "http" },
  request: RequestHead,
): RepositoryRule | null {
  if (scheme !== "https" || tokensOf(request.headers, "upgrade").length > 0) return null;
  const isAsked = ({ host, port, path }: RepositoryRule): boolean =>
    host === target.host &&
    port === target.port &&
    GIT_REQUESTS.some(
      ({ method, rest }) =>
        request.method === method && (request.path === `${path}${rest}` || request.path === `${path}.git${rest}`),
    );
  return policy.repositories.find(isAsked) ?? null;
}
