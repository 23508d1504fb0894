import type { AuthProvider } from "@modelcontextprotocol/client";
import type { McpFetch } from "./bounded-fetch.ts";
import { SecretUnreadable } from "../resources/vaults/envelope.ts";
import { McpFailure } from "./mcp-failure.ts";

/** What the connector asks of vaults (resources/vaults `VaultSecrets`). */
export interface McpCredentialSource {
  /** Of the first vault that has an active credential for this URL; `null`: connect without. */
  credentialForMcp(workspaceId: string, vaultIds: readonly string[], url: string): Promise<McpCredential | null>;
  /** After a 401 on `staleToken`. One refresh at a time, whoever asks. */
  refreshMcp(credentialId: string, staleToken: string): Promise<McpRefresh>;
}

export interface McpCredential {
  credentialId: string;
  token: string;
  /** `refreshMcp` may help after a 401. */
  refreshable: boolean;
}

export type McpRefresh =
  | { status: "succeeded"; token: string }
  | { status: "failed"; httpStatus: number | null }
  | { status: "connect_error" | "no_refresh_token" | "gone" };

/** Tokens of this connection that are looked for in what the server says. */
const TOKENS_REMEMBERED = 8;
/** Anything shorter would be found in innocent text. */
const TOKEN_CHARS_MIN = 6;

/**
 * The credential of one connection, looked up again every few seconds, so that rotation, archive and deletion reach a
 * session that runs. A 401 means that the request had no effect: the transport sends it once more with what
 * `onUnauthorized` found.
 */
export class ConnectionCredential implements AuthProvider {
  readonly #resolve: () => Promise<McpCredential | null>;
  readonly #refresh: McpCredentialSource["refreshMcp"];
  readonly #freshMs: number;
  readonly #tokens: string[] = [];
  /** What each refused request was sent with: by the time it is asked, another one may have led to a new token. */
  readonly #sentWith = new WeakMap<Response, string | null>();
  #current: McpCredential | null = null;
  #lookedUpAtMs = Number.NEGATIVE_INFINITY;

  constructor(resolve: () => Promise<McpCredential | null>, refresh: McpCredentialSource["refreshMcp"], freshMs: number) {
    this.#resolve = resolve;
    this.#refresh = refresh;
    this.#freshMs = freshMs;
  }

  /** Whose secret is sent; `null`: none is. */
  async id(): Promise<string | null> {
    await this.token();
    return this.#current?.credentialId ?? null;
  }

  async token(): Promise<string | undefined> {
    if (performance.now() - this.#lookedUpAtMs >= this.#freshMs) await this.#lookUp();
    return this.#current?.token;
  }

  /** Around every request of the connection. */
  watch(fetch: McpFetch): McpFetch {
    return async (url, init) => {
      const response = await fetch(url, init);
      if (response.status === 401) this.#sentWith.set(response, new Headers(init?.headers).get("authorization"));
      return response;
    };
  }

  /** @throws McpFailure when there is nothing to try again with */
  async onUnauthorized({ response }: { response: Response }): Promise<void> {
    await this.#lookUp();
    const found = this.#current;
    if (found === null)
      throw new McpFailure("authentication", "it wants authorization, and no vault of the session has a credential for its URL");
    // Somebody has rotated it, or has already refreshed it.
    if (this.#sentWith.get(response) !== `Bearer ${found.token}`) return;
    if (!found.refreshable) throw new McpFailure("authentication", "the server refused the credential (HTTP 401)");
    this.#use({ ...found, token: await this.#refreshed(found) });
  }

  async #refreshed(credential: McpCredential): Promise<string> {
    const refresh = await this.#refresh(credential.credentialId, credential.token);
    const refused = "the server refused the access token (HTTP 401)";
    switch (refresh.status) {
      case "succeeded":
        return refresh.token;
      case "failed":
        throw new McpFailure("authentication", `${refused}, and the token endpoint refused to refresh it`);
      case "connect_error":
        throw new McpFailure("authentication", `${refused}, and the token endpoint could not be reached to refresh it`);
      case "no_refresh_token":
        throw new McpFailure("authentication", `${refused}, and the credential has no refresh token`);
      case "gone":
        throw new McpFailure("authentication", `${refused}, and the credential is archived or deleted`);
    }
  }

  async #lookUp(): Promise<void> {
    const found = await this.#resolve().catch((error: unknown): never => {
      if (!(error instanceof SecretUnreadable)) throw error;
      throw new McpFailure("authentication", "its credential cannot be read with the master key of this installation");
    });
    this.#lookedUpAtMs = performance.now();
    if (found) this.#use(found);
    else this.#current = null;
  }

  #use(credential: McpCredential): void {
    this.#current = credential;
    const { token } = credential;
    if (token.length < TOKEN_CHARS_MIN || this.#tokens.includes(token)) return;
    this.#tokens.push(token);
    if (this.#tokens.length > TOKENS_REMEMBERED) this.#tokens.shift();
  }

  /** What a server repeats of its own credential is not for the model, the log or the sandbox (design §2.7). */
  redact(text: string): string {
    return this.#tokens.reduce((clean, token) => clean.replaceAll(token, "[redacted]"), text);
  }
}
