import { setImmediate as immediate } from "node:timers/promises";
import type { ResultContent, UrlSources } from "@sandbox0/protocol";
import { WEB_TOOLS } from "../domain/permissions.ts";
import type { Queryable } from "../store/query.ts";
import { readShownEvents, type ShownEvent } from "../store/shown-events.ts";
import { textShowsUrl } from "./url-text.ts";

/** Of the log, read at once: newest first, because what is fetched was mostly shown a moment ago. */
const PAGE = { rows: 200, bytes: 4 * 1024 * 1024 };

/**
 * Whether the session has shown this URL to the model: in the text of a user's message, in what a web tool found, or in
 * what a client's tool answered (semantics §7). What the model says itself, and what it can make other tools say, does
 * not count: else an address could be made up to carry something out.
 * @param sources narrows the three; `null` is all of them
 */
export async function isShownUrl(db: Queryable, sessionId: string, url: URL, sources: UrlSources | null): Promise<boolean> {
  const types: ShownEvent["type"][] = [
    ...(sources?.user_input?.type === "none" ? [] : (["user.message"] as const)),
    ...(sources?.server_tool_results?.type === "none" ? [] : (["agent.tool_result"] as const)),
    ...(sources?.client_tool_results?.type === "none" ? [] : (["user.custom_tool_result"] as const)),
  ];
  for (let before: number | null = null; ; ) {
    const events: ShownEvent[] = await readShownEvents(db, sessionId, { types, tools: WEB_TOOLS, before, most: PAGE });
    for (const event of events) {
      if (counts(event, sources) && shows(event, url)) return true;
      // Texts may be large, and many: others have their turn in between.
      await immediate();
    }
    const last = events.at(-1);
    if (last === undefined) return false;
    before = last.seq;
  }
}

function counts({ type, tool, body }: ShownEvent, sources: UrlSources | null): boolean {
  if (type === "user.message") return true;
  if (type === "user.custom_tool_result") return passes(tool, sources?.client_tool_results ?? null);
  // An error names the URL that was asked for: it would be shown by having been refused.
  return body.is_error !== true && passes(tool, sources?.server_tool_results ?? null);
}

function passes(tool: string | null, filter: UrlSources["server_tool_results"]): boolean {
  if (filter === null || filter.type === "all") return true;
  if (filter.type === "none") return false;
  return filter.tools.some(({ name }) => name === tool) === (filter.type === "only");
}

function shows({ type, body }: ShownEvent, url: URL): boolean {
  const bare = type === "user.message";
  return ((body.content ?? []) as ResultContent[]).some((block) => {
    if (block.type === "text") return textShowsUrl(block.text, url, { bare });
    return block.type === "search_result" && textShowsUrl(block.source, url, { bare: false });
  });
}
