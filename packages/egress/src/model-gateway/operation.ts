import type { IncomingMessage } from "node:http";
import type { ModelRoute } from "../port.ts";
import { Refusal, type Vendor } from "./refusal.ts";

export type Api = ModelRoute["api"];

/** What a harness may ask for under `/model`. */
export interface Operation {
  vendor: Vendor;
  api: Api;
  /** Behind the provider's base URL, which for Anthropic ends before `/v1` and for OpenAI behind it. */
  providerPath: string;
  /** The model answers: there are tokens to count, and a span to record. */
  generates: boolean;
  /** What of the query passes: with its question mark, or empty. */
  search: string;
}

const OPERATIONS: ReadonlyMap<string, Omit<Operation, "search">> = new Map([
  ["/model/v1/messages", anthropic("/v1/messages", true)],
  ["/model/v1/messages/count_tokens", anthropic("/v1/messages/count_tokens", false)],
  ["/model/v1/responses", openai("openai-responses", "/responses")],
  ["/model/v1/chat/completions", openai("openai-completions", "/chat/completions")],
]);

function anthropic(providerPath: string, generates: boolean): Omit<Operation, "search"> {
  return { vendor: "anthropic", api: "anthropic-messages", providerPath, generates };
}

function openai(api: Api, providerPath: string): Omit<Operation, "search"> {
  return { vendor: "openai", api, providerPath, generates: true };
}

/** All that the vendors' clients send. As with headers, the rest is left out: gateways take keys, hosts and models from it. */
const BETA = "beta=true";

/** @throws Refusal for anything else: the paths are compared as they came, so that no spelling of one is another */
export function operationOf(req: IncomingMessage): Operation {
  const { path, search } = targetOf(req);
  const operation = OPERATIONS.get(path);
  if (operation === undefined) throw new Refusal("not_found", "The model gateway has no such operation.");
  if (req.method !== "POST") throw new Refusal("method", "The model gateway takes POST here.");
  return { ...operation, search: search.slice(1).split("&").includes(BETA) ? `?${BETA}` : "" };
}

/** Also for requests that are no operation, so that their error can be read by who sent them. */
export function vendorOf(req: IncomingMessage): Vendor {
  const operation = OPERATIONS.get(targetOf(req).path);
  if (operation !== undefined) return operation.vendor;
  const { headers } = req;
  return headers["anthropic-version"] !== undefined || headers["x-api-key"] !== undefined ? "anthropic" : "openai";
}

function targetOf(req: IncomingMessage): { path: string; search: string } {
  const target = req.url ?? "";
  const mark = target.indexOf("?");
  return mark === -1 ? { path: target, search: "" } : { path: target.slice(0, mark), search: target.slice(mark) };
}
