import {
  Client,
  ProtocolError,
  SdkError,
  SdkErrorCode,
  SSEClientTransport,
  StreamableHTTPClientTransport,
  type JSONRPCMessage,
  type VersionNegotiationMode,
} from "@modelcontextprotocol/client";
import { boundReplies, type McpFetch } from "./bounded-fetch.ts";
import type { ConnectionCredential } from "./credentials.ts";
import { MCP_PAGES_MAX, type McpTimes } from "./limits.ts";
import { McpFailure, SessionUnknown, tooLarge } from "./mcp-failure.ts";
import { type McpToolResult, toToolResult } from "./result-content.ts";
import { statusOf, STREAM_ENDED, toMcpFailure } from "./sdk-failure.ts";
import { listTools, type McpTool } from "./tool-list.ts";

export interface ConnectionOptions {
  url: string;
  credential: ConnectionCredential;
  fetch: McpFetch;
  /** This product's version, for the server's information. */
  version: string;
  times: McpTimes;
  /** For the server's log: a connection that did not end cleanly. Nothing waits for it any more. */
  onTrouble(error: unknown): void;
}

/** One MCP session with one server. It is used until something breaks it; then a new one is made. */
export interface Connection {
  /** As last listed. */
  readonly tools: readonly McpTool[];
  /** Whose credential it was made with; `null`: nobody's. */
  readonly credentialId: string | null;
  /** Closed by either side, or no longer to be trusted. */
  readonly isOver: boolean;
  /** Reads the list again when the server has said that it changed; a failure leaves the old one. */
  refresh(signal: AbortSignal): Promise<void>;
  /** @throws McpFailure when there is no answer; `SessionUnknown` when it certainly did not run */
  call(name: string, input: Record<string, unknown>, signal: AbortSignal): Promise<McpToolResult>;
  /** Never rejects. */
  close(): Promise<void>;
}

/** A stream that ends without the answer must not leave its call waiting for the time limit. */
class HttpTransport extends StreamableHTTPClientTransport {
  override send(
    message: JSONRPCMessage | JSONRPCMessage[],
    options: Parameters<StreamableHTTPClientTransport["send"]>[1] = {},
  ): Promise<void> {
    const ids = [message].flat().flatMap((each) => ("method" in each && "id" in each ? [each.id] : []));
    const onRequestStreamEnd = (): void => {
      options.onRequestStreamEnd?.();
      // Behind the answer it meets nobody.
      const error = { code: STREAM_ENDED, message: "the stream ended without an answer" };
      for (const id of ids) this.onmessage?.({ jsonrpc: "2.0", id, error });
    };
    return super.send(message, { ...options, onRequestStreamEnd });
  }
}
/** Of what a server says of a call that it refuses. */
const ERROR_TEXT_CHARS_MAX = 8_192;

/**
 * Streamable HTTP, of the newest revision that both know; then the deprecated SSE transport (semantics §9).
 * @throws McpFailure within `connectMs`, or when `signal` aborts
 */
export async function connect(options: ConnectionOptions, signal: AbortSignal): Promise<Connection> {
  const { connectMs } = options.times;
  const deadline = AbortSignal.timeout(connectMs);
  const cut = AbortSignal.any([signal, deadline]);
  try {
    return await connectFirst(options, cut);
  } catch (error) {
    if (deadline.aborted) throw new McpFailure("connection", `it did not answer within ${connectMs / 1000} seconds`);
    throw toMcpFailure(error);
  }
}

async function connectFirst(options: ConnectionOptions, signal: AbortSignal): Promise<Connection> {
  try {
    return await open(options, "http", "auto", signal);
  } catch (error) {
    if (signal.aborted) throw error;
    if (isUndecided(error)) return connectLegacy(options, signal);
    return connectSse(options, signal, error);
  }
}

/** The probe for the new revision was met with something that is no answer: servers of the old ones do that. */
function isUndecided(error: unknown): boolean {
  return error instanceof SdkError && error.code === SdkErrorCode.EraNegotiationFailed;
}

async function connectLegacy(options: ConnectionOptions, signal: AbortSignal): Promise<Connection> {
  try {
    return await open(options, "http", "legacy", signal);
  } catch (error) {
    if (signal.aborted) throw error;
    return connectSse(options, signal, error);
  }
}

/** What a server without streamable HTTP answers to a POST; anything else says that SSE would fare no better. */
const NO_STREAMABLE_HTTP = new Set([400, 404, 405, 406, 415]);

async function connectSse(options: ConnectionOptions, signal: AbortSignal, first: unknown): Promise<Connection> {
  if (!NO_STREAMABLE_HTTP.has(statusOf(first) ?? 0)) throw first;
  try {
    return await open(options, "sse", "legacy", signal);
  } catch (error) {
    // That it has no SSE either is less of a reason than why the first way failed.
    if (statusOf(error) === null || NO_STREAMABLE_HTTP.has(statusOf(error) ?? 0)) throw toMcpFailure(first);
    throw error;
  }
}

async function open(
  options: ConnectionOptions,
  transport: "http" | "sse",
  mode: VersionNegotiationMode,
  signal: AbortSignal,
): Promise<Connection> {
  const connection = new OpenConnection(options, transport, mode);
  try {
    await connection.start(signal);
    return connection;
  } catch (error) {
    // Its goodbye may hang as the rest of it does.
    void connection.close();
    throw connection.stated ?? error;
  }
}

class OpenConnection implements Connection {
  tools: readonly McpTool[] = [];
  credentialId: string | null = null;
  isOver = false;
  /** What this side found out; the library only sees a stream that broke. */
  stated: McpFailure | null = null;
  readonly #client: Client;
  readonly #transport: HttpTransport | SSEClientTransport;
  readonly #credential: ConnectionCredential;
  readonly #times: McpTimes;
  readonly #onTrouble: (error: unknown) => void;
  #started = false;
  #listIsOld = false;

  constructor(options: ConnectionOptions, transport: "http" | "sse", mode: VersionNegotiationMode) {
    const { url, credential, fetch, version, times } = options;
    this.#credential = credential;
    this.#times = times;
    this.#onTrouble = options.onTrouble;
    this.#client = new Client(
      { name: "sandbox0", version },
      {
        versionNegotiation: { mode, probe: { timeoutMs: times.connectMs } },
        listMaxPages: MCP_PAGES_MAX,
        inputRequired: { autoFulfill: false },
        // What a tool gave is for the model to judge, not for a schema of the server's making to be compiled here.
        jsonSchemaValidator: { getValidator: () => (input) => ({ valid: true, data: input as never, errorMessage: undefined }) },
        listChanged: {
          tools: {
            autoRefresh: false,
            debounceMs: 0,
            onChanged: () => {
              this.#listIsOld = true;
            },
          },
        },
      },
    );
    const watched = credential.watch(boundReplies(fetch, () => this.#giveUp(tooLarge())));
    const common = { authProvider: credential, fetch: watched, redirectPolicy: "same-origin" } as const;
    this.#transport =
      transport === "http"
        ? new HttpTransport(new URL(url), { ...common, onInsufficientScope: "throw" })
        : new SSEClientTransport(new URL(url), common);
    this.#client.onclose = () => {
      this.isOver = true;
    };
    // With SSE every answer comes on the one stream that broke. Else each call has its own, and its own error.
    if (transport === "sse") this.#transport.onerror = (error) => this.#started && this.#giveUp(toMcpFailure(error));
  }

  async start(signal: AbortSignal): Promise<void> {
    await unlessAborted(signal, this.#client.connect(this.#transport, { signal, timeout: this.#times.connectMs }));
    this.#started = true;
    this.credentialId = await this.#credential.id();
    this.tools = await unlessAborted(signal, this.#list(signal));
  }

  #list(signal: AbortSignal): Promise<McpTool[]> {
    return listTools(this.#client, (text) => this.#credential.redact(text), signal);
  }

  async refresh(signal: AbortSignal): Promise<void> {
    if (!this.#listIsOld || this.isOver) return;
    this.#listIsOld = false;
    try {
      this.tools = await this.#list(signal);
    } catch (error) {
      // Its calls will say what is wrong with it; an aborted turn reads it the next time.
      if (signal.aborted) this.#listIsOld = true;
      else if (!(error instanceof Error)) throw error;
    }
  }

  async call(name: string, input: Record<string, unknown>, signal: AbortSignal): Promise<McpToolResult> {
    try {
      const result = await this.#client.callTool(
        { name, arguments: input },
        // Progress keeps it alive; whoever asks for none gets none.
        {
          signal,
          onprogress: () => undefined,
          timeout: this.#times.silenceMs,
          resetTimeoutOnProgress: true,
          maxTotalTimeout: this.#times.callMs,
        },
      );
      return toToolResult(result, (text) => this.#credential.redact(text));
    } catch (error) {
      if (this.#isForgotten(error)) {
        this.#giveUp(null);
        throw new SessionUnknown();
      }
      if (error instanceof ProtocolError && error.code !== STREAM_ENDED) return this.#refusal(error);
      throw toMcpFailure(error, this.stated);
    }
  }

  /** 404 by the specification; many servers say 400 to a session id that they do not know. Either way nothing was run. */
  #isForgotten(error: unknown): boolean {
    const status = statusOf(error);
    return (
      status === 404 || (status === 400 && this.#transport instanceof HttpTransport && this.#transport.sessionId !== undefined)
    );
  }

  /** The server is well, and says what is wrong with the call: for the model to read. */
  #refusal(error: ProtocolError): McpToolResult {
    const said = this.#credential.redact(error.message).slice(0, ERROR_TEXT_CHARS_MAX);
    return { content: [{ type: "text", text: `MCP error ${error.code}: ${said}` }], isError: true };
  }

  #giveUp(stated: McpFailure | null): void {
    this.stated ??= stated;
    this.isOver = true;
    // What waits for an answer is told that the connection is closed.
    void this.#end();
  }

  async #end(): Promise<void> {
    try {
      await this.#transport.close();
      await this.#client.close();
    } catch (error) {
      this.#onTrouble(error);
    }
  }

  async close(): Promise<void> {
    this.isOver = true;
    if (this.#transport instanceof HttpTransport && this.#started && this.stated === null) {
      // A courtesy: whether the server takes it is its own affair.
      const farewell = this.#transport.terminateSession().catch(() => undefined);
      await unlessAborted(AbortSignal.timeout(this.#times.farewellMs), farewell).catch(() => undefined);
    }
    await this.#end();
  }
}

/** The library's own timeouts cover what it sends, not how it starts: an SSE stream that never says where to post. */
async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(new McpFailure("connection", "the turn was stopped"));
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  // Whichever comes second has no one to tell.
  work.catch(() => undefined);
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
