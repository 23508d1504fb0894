import type { ResultContent, UrlSources } from "@sandbox0/protocol";
import { listEvents, type StoredEvent } from "../store/events.ts";
import type { Queryable } from "../store/query.ts";
import { readCallNames } from "../store/tool-calls.ts";
import { WEB_TOOLS } from "../domain/permissions.ts";
import { textShowsUrl } from "./url-text.ts";

/** Of the log, read at once: newest first, because what is fetched was mostly shown a moment ago. */
const PAGE = { rows: 200, bytes: 4 * 1024 * 1024 };

type ToolFilter = UrlSources["server_tool_results"];

/**
 * Whether the session has shown this URL to the model: in the text of a user's message, in what a web tool found, or in
 * what a client's tool answered (semantics §7). What the model says itself, and what it can make other tools say, does
 * not count: else an address could be made up to carry something out.
 * @param sources narrows the three; `null` is all of them
 */
export async function isShownUrl(db: Queryable, sessionId: string, url: URL, sources: UrlSources | null): Promise<boolean> {
  const types = [
    ...(sources?.user_input?.type === "none" ? [] : ["user.message"]),
    ...(sources?.server_tool_results?.type === "none" ? [] : ["agent.tool_result"]),
    ...(sources?.client_tool_results?.type === "none" ? [] : ["user.custom_tool_result"]),
  ];
  for (let from: number | null = null, more = types.length > 0; more; ) {
    const page = await listEvents(db, sessionId, { order: "desc", from, most: PAGE }, { types });
    const events = page.events.map(readEvent);
    const callIds = events.flatMap((event) => event.callId ?? []);
    const names = await readCallNames(db, sessionId, callIds);
    if (events.some((event) => counts(event, names, sources) && shows(event, url))) return true;
    from = page.events.at(-1)?.seq ?? null;
    more = page.more && from !== null;
  }
  return false;
}

interface ShownEvent {
  type: string;
  callId: string | null;
  isError: boolean;
  content: readonly ResultContent[];
}

function readEvent({ type, body }: StoredEvent): ShownEvent {
  const event = JSON.parse(body) as Record<string, unknown>;
  const callId = (event.tool_use_id ?? event.custom_tool_use_id ?? null) as string | null;
  return { type, callId, isError: event.is_error === true, content: (event.content ?? []) as ResultContent[] };
}

function counts(event: ShownEvent, names: ReadonlyMap<string, string>, sources: UrlSources | null): boolean {
  if (event.type === "user.message") return true;
  const name = names.get(event.callId ?? "") ?? "";
  if (event.type === "user.custom_tool_result") return passes(name, sources?.client_tool_results ?? null);
  // An error names the URL that was asked for: it would be shown by having been refused.
  if (event.isError || !WEB_TOOLS.some((tool) => tool === name)) return false;
  return passes(name, sources?.server_tool_results ?? null);
}

function passes(name: string, filter: ToolFilter): boolean {
  if (filter === null || filter.type === "all") return true;
  if (filter.type === "none") return false;
  return filter.tools.some((tool) => tool.name === name) === (filter.type === "only");
}

function shows(event: ShownEvent, url: URL): boolean {
  const bare = event.type === "user.message";
  return event.content.some((block) => {
    if (block.type === "text") return textShowsUrl(block.text, url, { bare });
    return block.type === "search_result" && textShowsUrl(block.source, url, { bare: false });
  });
}
