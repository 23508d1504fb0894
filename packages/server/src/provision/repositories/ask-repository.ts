import { EgressError } from "@sandbox0/egress";
import type { RepositoryRemote } from "../../domain/repository-remote.ts";
import type { RepositoryFailure } from "./repository-failure.ts";

/** A server that says nothing for so long has failed. */
const ANSWER_MS = 30_000;
/** How git hosts take a token: as the password of any user. */
const TOKEN_USER = "x-access-token";
const ADVERTISEMENT = "application/x-git-upload-pack-advertisement";

export interface Asked {
  remote: RepositoryRemote;
  /** The session's own; `null`: it was given none. */
  token: string | null;
}

/**
 * Asks the server of a repository, as git does first, whether it may be read with this token. By the server itself and not in
 * the sandbox: only status and type of the answer are looked at, so nothing has to be trusted.
 * @param fetch goes only where this server may go
 * @returns what is in the way; `null`: nothing
 */
export async function askRepository(
  fetch: (url: string, init: RequestInit) => Promise<Response>,
  { remote, token }: Asked,
  signal: AbortSignal,
): Promise<RepositoryFailure | null> {
  const headers: Record<string, string> = { "Git-Protocol": "version=2", "User-Agent": "git/2.0 (sandbox0)" };
  if (token !== null) headers.Authorization = `Basic ${Buffer.from(`${TOKEN_USER}:${token}`).toString("base64")}`;
  try {
    const response = await fetch(`${remote.url}/info/refs?service=git-upload-pack`, {
      headers,
      redirect: "manual",
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
    });
    await response.body?.cancel();
    return failureOf(response, token !== null);
  } catch (error) {
    return { problem: "repository_clone_error", why: `its server could not be asked: ${reasonOf(error)}` };
  }
}

function failureOf({ status, headers }: Response, hasToken: boolean): RepositoryFailure | null {
  if (status === 200) {
    const speaksGit = headers.get("content-type")?.split(";")[0]?.trim() === ADVERTISEMENT;
    return speaksGit ? null : { problem: "repository_clone_error", why: "its server does not speak git's smart protocol there" };
  }
  if (status === 401) {
    const why = hasToken ? "its server does not take the authorization_token" : "its server wants an authorization_token";
    return { problem: "repository_authentication_error", why: `${why} (401)` };
  }
  if (status === 403)
    return { problem: "repository_forbidden_error", why: "its server does not allow it with this authorization_token (403)" };
  if (status === 404 || status === 410)
    return { problem: "repository_not_found_error", why: `there is none that this session may see (${status})` };
  if (status >= 300 && status < 400) return { problem: "repository_not_found_error", why: `it has moved elsewhere (${status})` };
  return { problem: "repository_clone_error", why: `its server answered with status ${status}` };
}

/** Only what is ours, or a code: the text of other errors may quote the other side. */
function reasonOf(error: unknown): string {
  if (error instanceof EgressError) return error.message;
  if (error instanceof DOMException && error.name === "TimeoutError") return `no answer within ${ANSWER_MS / 1_000} seconds`;
  const { code } = ((error as Error).cause ?? error) as NodeJS.ErrnoException;
  return typeof code === "string" && /^[A-Z0-9_]+$/.test(code) ? code : "the connection failed";
}
