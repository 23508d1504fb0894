import type { Agent, buildConnector, fetch as undiciFetch, RequestInit as UndiciRequestInit } from "undici";
import type { AddressGuard } from "./address-guard.ts";
import { EgressError } from "./egress-error.ts";
import { createUpstreamTrust } from "./intercept/upstream-dial.ts";

export interface GuardedFetchOptions {
  /** Asked for the first URL and for each redirect's; what it throws or rejects with ends the fetch. */
  checkUrl?: (url: URL) => void | Promise<void>;
  redirectsMax?: number;
  /** PEM certificates to trust besides the system's. */
  extraCas?: readonly string[];
}

export interface GuardedFetch {
  /**
   * As the global one, for `http:` and `https:` to what the guard lets through, redirects included. Rejects with an
   * `EgressError` when the guard refuses, the host cannot be reached, or there are too many redirects; else as `fetch` does.
   * Has no time limit of its own but for connecting, and none of size: the caller's signal ends it.
   */
  fetch(url: string | URL, init?: RequestInit): Promise<Response>;
  /** Cuts what is open. */
  close(): Promise<void>;
}

const REDIRECTS_MAX = 5;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];
/** Not for another origin than the one they were meant for. */
const CREDENTIAL_HEADERS = ["authorization", "cookie", "proxy-authorization"];
const BODY_HEADERS = ["content-length", "content-type", "content-encoding", "transfer-encoding"];
const TLS_HANDSHAKE_MS = 20_000;
const DEFAULT_PORTS: Readonly<Record<string, number>> = { "http:": 80, "https:": 443 };

/** What sends, from its own library: not at the start of a server, which would wait for it to be loaded. */
interface Client {
  agent: Agent;
  fetch: typeof undiciFetch;
}

interface Hop {
  url: URL;
  init: RequestInit;
}

/** `fetch` for the server's own requests (MCP, OAuth, web_fetch): the checked address is the one dialled, at every hop. */
export const createGuardedFetch = (guard: AddressGuard, options: GuardedFetchOptions = {}): GuardedFetch => {
  let client: Promise<Client> | undefined;
  let closed = false;
  const redirectsMax = options.redirectsMax ?? REDIRECTS_MAX;

  const ask = async ({ url, init }: Hop): Promise<Response> => {
    if (!(url.protocol in DEFAULT_PORTS))
      throw new EgressError("denied", "scheme_not_allowed", "only http and https URLs are fetched");
    await options.checkUrl?.(url);
    client ??= createClient(guard, options.extraCas ?? []);
    const { agent, fetch } = await client;
    if (closed) throw new EgressError("failed", "closed", "the server is stopping");
    try {
      // undici's own types differ from the global ones in name only.
      const asked = { ...init, redirect: "manual", dispatcher: agent } as UndiciRequestInit;
      return (await fetch(url, asked)) as unknown as Response;
    } catch (error) {
      throw (error as Error).cause instanceof EgressError ? (error as Error).cause : error;
    }
  };

  return {
    fetch: async (url, init = {}) => {
      const mode = init.redirect ?? "follow";
      let hop: Hop = { url: new URL(url), init };
      for (let redirects = 0; ; redirects += 1) {
        const response = await ask(hop);
        const location = response.headers.get("location");
        if (mode === "manual" || location === null || !REDIRECTS.includes(response.status)) return response;
        await response.body?.cancel();
        if (mode === "error") throw new EgressError("failed", "redirected", "the host redirects, and this request may not be");
        if (redirects >= redirectsMax)
          throw new EgressError("failed", "too_many_redirects", `more than ${redirectsMax} redirects`);
        hop = nextHop(hop, response.status, location);
      }
    },
    async close() {
      closed = true;
      await (await client)?.agent.destroy();
    },
  };
};

const createClient = async (guard: AddressGuard, extraCas: readonly string[]): Promise<Client> => {
  const { Agent, buildConnector, fetch } = await import("undici");
  const agent = new Agent({
    connect: createConnector(guard, buildConnector, extraCas),
    allowH2: false,
    // A tool call may stay silent for long; its caller knows how long.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  return { agent, fetch };
};

const createConnector = (
  guard: AddressGuard,
  build: typeof buildConnector,
  extraCas: readonly string[],
): buildConnector.connector => {
  const secureContext = createUpstreamTrust(extraCas)();
  const startTls = build({ secureContext, allowH2: false, timeout: TLS_HANDSHAKE_MS });
  return (asked, done) => {
    const port = Number(asked.port) || (DEFAULT_PORTS[asked.protocol] ?? 0);
    guard.dial(asked.hostname, port).then(
      (httpSocket) => (asked.protocol === "https:" ? startTls({ ...asked, httpSocket }, done) : done(null, httpSocket)),
      (error: Error) => done(error, null),
    );
  };
};

/** As browsers do (Fetch standard §4.4), and without credentials for a new origin. */
const nextHop = ({ url: from, init }: Hop, status: number, location: string): Hop => {
  const url = URL.parse(location, from.href);
  if (!url) throw new EgressError("failed", "invalid_redirect", "the host redirects to something that is not a URL");
  const headers = new Headers(init.headers);
  if (url.origin !== from.origin) for (const name of CREDENTIAL_HEADERS) headers.delete(name);
  const method = (init.method ?? "GET").toUpperCase();
  const becomesGet = (status === 303 && method !== "HEAD") || (status <= 302 && method === "POST");
  if (!becomesGet) {
    if (init.body instanceof ReadableStream)
      throw new EgressError("failed", "redirected", "the host redirects a body that is sent once");
    return { url, init: { ...init, headers } };
  }
  for (const name of BODY_HEADERS) headers.delete(name);
  const { body: _, ...rest } = init;
  return { url, init: { ...rest, method: "GET", headers } };
};
