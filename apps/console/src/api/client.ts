import { Anthropic } from "@anthropic-ai/sdk";
import { createContext, useContext } from "react";

/** The official SDK, pointed at the server that served this page. It is the console's only way to the server. */
export type Client = Anthropic;

const RETRIES_MAX = 2;

/** What one page of a list is (contract §1.6). */
export interface ListPage<T> {
  data: T[];
  next_page: string | null;
}

export function createClient(apiKey: string): Client {
  return new Anthropic({
    apiKey,
    baseURL: window.location.origin,
    // The key is the person's own, kept for this tab only, and goes to the server that served this page.
    dangerouslyAllowBrowser: true,
    maxRetries: RETRIES_MAX,
    logLevel: "off",
  });
}

export const ClientContext = createContext<Client | null>(null);

/**
 * `client.get<T>("/v1/…", { query })` answers plain JSON of a protocol type; `client.beta.…` are the SDK's own methods.
 * For pages behind the sign-in.
 */
export function useClient(): Client {
  const client = useContext(ClientContext);
  if (client === null) throw new Error("useClient outside of the signed-in part");
  return client;
}
