import type { EnvironmentConfig } from "@sandbox0/protocol";
import { readSessionPolicy } from "../store/session-policies.ts";
import type { Extractor } from "./extractor.ts";
import { createTurnstile } from "./turnstile.ts";
import { type WebFetchConfig, type WebFetchDeps, webFetch } from "./web-fetch.ts";
import { webError, type WebResult, WebToolError } from "./web-result.ts";
import { type WebSearchConfig, type WebSearchDeps, webSearch } from "./web-search.ts";

/** Pages that one server reads at the same time: each may take `PAGE_BYTES_MAX` of memory. */
export const FETCHES_AT_ONCE_MAX = 16;
export const SEARCHES_AT_ONCE_MAX = 32;
/** Of either, for one session. */
export const PER_SESSION_MAX = 4;
const WAITING_MAX = 1_000;

/** A tool as the model is told of it. */
export interface WebToolDefinition {
  name: "web_fetch" | "web_search";
  description: string;
  inputSchema: Record<string, unknown>;
}

/** `{url}` and `{query}`, as in the Messages API's own tools (contract §3.2). */
export const WEB_TOOL_DEFINITIONS: readonly WebToolDefinition[] = [
  {
    name: "web_fetch",
    description:
      "Fetch a web page or PDF and return its text. Only URLs that have appeared in this conversation can be fetched: in a user's message, in web_search results, or in pages fetched before.",
    inputSchema: {
      type: "object",
      properties: { url: { type: "string", description: "The full http or https URL to fetch" } },
      required: ["url"],
    },
  },
  {
    name: "web_search",
    description: "Search the web. Returns titles, URLs and excerpts of the best results; web_fetch reads them in full.",
    inputSchema: {
      type: "object",
      properties: { query: { type: "string", description: "What to search for" } },
      required: ["query"],
    },
  },
];

export interface WebToolCall {
  sessionId: string;
  name: string;
  input: Record<string, unknown>;
  /** As the agent's toolset has it for this tool; empty when it has no entry of its own. */
  config: WebFetchConfig & WebSearchConfig;
  signal: AbortSignal;
}

/**
 * `web_fetch` and `web_search`: they run in the server, never in the sandbox (semantics §7). What goes wrong out there is
 * an error result; `run` rejects when the database is away, and for bugs.
 */
export interface WebTools {
  run(call: WebToolCall): Promise<WebResult>;
  close(): Promise<void>;
}

export interface WebToolsDeps {
  db: WebFetchDeps["db"];
  fetch: WebFetchDeps["fetch"];
  extractor: Extractor;
  search: WebSearchDeps["search"];
  blockedHosts: readonly string[];
}

export function createWebTools(deps: WebToolsDeps): WebTools {
  const { db, fetch, extractor, search, blockedHosts } = deps;
  const turnstile = (atOnceMax: number) =>
    createTurnstile({ atOnceMax, perSessionMax: PER_SESSION_MAX, waitingMax: WAITING_MAX });
  const fetching = { db, fetch, extractor, blockedHosts, turnstile: turnstile(FETCHES_AT_ONCE_MAX) };
  const searching = { search, blockedHosts, turnstile: turnstile(SEARCHES_AT_ONCE_MAX) };
  return {
    async run(call) {
      try {
        const environment = await environmentOf(deps.db, call.sessionId);
        const asked = { ...call, environment };
        return await (call.name === "web_fetch" ? webFetch(fetching, asked) : webSearch(searching, asked));
      } catch (error) {
        if (error instanceof WebToolError) return webError(error.code, error.message);
        throw error;
      }
    },
    close: () => extractor.close(),
  };
}

/** As it is now, not as it was when the turn began: what was closed meanwhile is closed. */
async function environmentOf(db: WebToolsDeps["db"], sessionId: string): Promise<EnvironmentConfig> {
  const policy = await readSessionPolicy(db, sessionId);
  if (policy === null) throw new WebToolError("unavailable", "the session is over");
  return policy.environment;
}
