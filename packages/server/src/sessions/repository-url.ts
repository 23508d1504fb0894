import { invalidRequest } from "@sandbox0/protocol";

const GITHUB = "github.com";
const OWNER = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,98}[A-Za-z0-9])?$/;
const NAME = /^[A-Za-z0-9._-]{1,100}$/;

export interface RepositoryUrl {
  /** As it was given. */
  url: string;
  /** The last part of its path. */
  name: string;
}

/**
 * A repository of GitHub by its page, as the official API has it (semantics §12), or of another server that speaks Git over
 * HTTPS, where `.git` may be behind it. @throws ApiError
 */
export function parseRepositoryUrl(given: string, field: string): RepositoryUrl {
  const refuse = (rule: string): never => {
    throw invalidRequest(`${field}: ${rule}`);
  };
  const url = new URL(given);
  if (url.protocol !== "https:") refuse("must be an https URL");
  if (url.username !== "" || url.password !== "") refuse("must not contain credentials; use authorization_token");
  if (url.search !== "" || url.hash !== "" || given.includes("?") || given.includes("#"))
    refuse("must not have a query or a fragment");
  const parts = url.pathname.split("/").slice(1);
  const name = (parts.at(-1) ?? "").replace(/\.git$/, "");
  const isNamed = parts.every((part) => NAME.test(part)) && NAME.test(name) && name !== "." && name !== "..";
  if (url.hostname === GITHUB) {
    const isPage = parts.length === 2 && OWNER.test(parts[0] ?? "") && isNamed && !given.endsWith(".git") && url.port === "";
    if (!isPage) refuse(`must be https://${GITHUB}/<owner>/<repository>, without .git`);
  }
  if (!isNamed) refuse("must end with the name of a repository, and have only letters, digits, `.`, `_` and `-` in its path");
  return { url: given, name };
}
