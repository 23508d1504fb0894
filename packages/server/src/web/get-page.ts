import { EgressError, type GuardedFetch } from "@sandbox0/egress";
import { readStart } from "../resources/read-start.ts";
import { WebToolError } from "./web-result.ts";

/** One page with all its redirects, from the first byte sent to the last one read. */
export const GET_MS = 30_000;
export const PAGE_BYTES_MAX = 10 * 1024 * 1024;
export const REDIRECTS_MAX = 5;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];
const HEADERS = {
  accept: "text/html,application/xhtml+xml,application/pdf,text/*;q=0.9,application/json;q=0.9,*/*;q=0.5",
  "user-agent": "sandbox0-web-fetch/1.0",
};

export interface Page {
  /** Where it was found, behind all redirects. */
  url: URL;
  /** As the server says it, in lower case and without parameters; empty when it says nothing. */
  mediaType: string;
  charset: string | null;
  bytes: Uint8Array;
}

/**
 * Gets one page. Addresses are checked by `fetch`, URLs by `describeProblem`, both at every redirect.
 * @throws WebToolError
 */
export async function getPage(
  start: URL,
  fetch: GuardedFetch["fetch"],
  describeProblem: (url: URL) => string | null,
  stop: AbortSignal,
): Promise<Page> {
  const deadline = AbortSignal.timeout(GET_MS);
  const signal = AbortSignal.any([stop, deadline]);
  let url = start;
  try {
    for (let redirects = 0; ; redirects++) {
      const problem = describeProblem(url);
      if (problem !== null) throw new WebToolError("url_not_allowed", problem);
      const response = await fetch(url, { headers: HEADERS, redirect: "manual", signal });
      const location = REDIRECTS.includes(response.status) ? response.headers.get("location") : null;
      if (location === null) return await readPage(url, response);
      await response.body?.cancel();
      if (redirects >= REDIRECTS_MAX) throw new WebToolError("url_not_accessible", `more than ${REDIRECTS_MAX} redirects`);
      url = redirectedTo(location, url);
    }
  } catch (error) {
    if (deadline.aborted) throw new WebToolError("url_not_accessible", `no answer within ${GET_MS / 1000} seconds`);
    throw explain(error);
  }
}

function redirectedTo(location: string, from: URL): URL {
  const url = URL.parse(location, from.href);
  if (url === null) throw new WebToolError("url_not_accessible", "it redirects to something that is no URL");
  if (!/^https?:$/.test(url.protocol))
    throw new WebToolError("url_not_allowed", "it redirects to something that is not http or https");
  return url;
}

async function readPage(url: URL, response: Response): Promise<Page> {
  if (response.status >= 400 || response.status < 200) {
    await response.body?.cancel();
    throw new WebToolError("url_not_accessible", `the server answered ${response.status}`);
  }
  const declared = response.headers.get("content-type") ?? "";
  const mediaType = (declared.split(";")[0] ?? "").trim().toLowerCase();
  const charset = /;\s*charset\s*=\s*"?([\w:.-]{1,40})/i.exec(declared)?.[1] ?? null;
  const { bytes, complete } = await readStart(response, PAGE_BYTES_MAX);
  if (!complete) throw new WebToolError("url_not_accessible", `it is larger than ${PAGE_BYTES_MAX} bytes`);
  return { url, mediaType, charset, bytes: new Uint8Array(bytes) };
}

/** No text of the other side: it may be anything. */
function explain(error: unknown): WebToolError {
  if (error instanceof WebToolError) return error;
  if (error instanceof EgressError)
    return new WebToolError(error.verdict === "denied" ? "url_not_allowed" : "url_not_accessible", error.message);
  const code = codeOf(error);
  return new WebToolError("url_not_accessible", `the connection failed${code === null ? "" : ` (${code})`}`);
}

function codeOf(error: unknown): string | null {
  const { code, cause } = error as { code?: unknown; cause?: unknown };
  if (typeof code === "string" && /^\w{1,64}$/.test(code)) return code;
  return cause === undefined || cause === null ? null : codeOf(cause);
}
