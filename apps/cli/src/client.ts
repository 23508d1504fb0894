import Anthropic, { APIConnectionError, APIError } from "@anthropic-ai/sdk";
import type { Arguments } from "./command.ts";
import { UserError } from "./command.ts";
import { loadSettings } from "./settings.ts";

export const SERVER_OPTIONS = {
  url: { type: "string", help: "the server (SANDBOX0_URL, default http://127.0.0.1:8787)", value: "url" },
  "api-key": { type: "string", help: "an API key of the server (SANDBOX0_API_KEY)", value: "key" },
} as const;

/** The official client, pointed at the server of `--url` with the key of `--api-key`. @throws UserError without a key */
export function createClient(args: Arguments): Anthropic {
  const settings = loadSettings();
  const apiKey = args.text("api-key") ?? settings.apiKey;
  if (apiKey === undefined) {
    throw new UserError(
      "No API key. Set SANDBOX0_API_KEY or pass --api-key: the server prints one at its first start, " +
        "and 'sandbox0 keys create' makes more.",
    );
  }
  return new Anthropic({ baseURL: args.text("url") ?? settings.url, apiKey });
}

/** Runs a call and turns the failures of client and server into one sentence that says what to do. */
export async function callServer<T>(client: Anthropic, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw explain(error, client.baseURL);
  }
}

/** @returns a UserError for what the server or the network said; anything else, a bug, as it is */
export function explain(error: unknown, url: string): unknown {
  if (error instanceof APIConnectionError) {
    return new UserError(
      `No answer from ${url}. Is the server running ('sandbox0 serve')? Another address: --url or SANDBOX0_URL.`,
      {
        cause: error,
      },
    );
  }
  if (!(error instanceof APIError)) return error;
  const message = readMessage(error);
  const request = error.requestID ? ` (request ${error.requestID})` : "";
  if (error.status === 401) {
    return new UserError(`${url} refuses the API key: ${message}. Check SANDBOX0_API_KEY or --api-key.${request}`, {
      cause: error,
    });
  }
  return new UserError(`${message}${request}`, { cause: error });
}

function readMessage(error: APIError): string {
  const body: unknown = error.error;
  if (typeof body === "object" && body !== null && "error" in body) {
    const inner = body.error;
    if (typeof inner === "object" && inner !== null && "message" in inner) return String(inner.message);
  }
  return error.message;
}
