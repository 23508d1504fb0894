import type { McpFetch } from "./bounded-fetch.ts";
import type { Connection } from "./connection.ts";
import { ConnectionCredential, type McpCredentialSource } from "./credentials.ts";
import { MCP_IDLE_CONNECTIONS_MAX, MCP_TIMES, type McpTimes } from "./limits.ts";
import { McpFailure, SessionUnknown } from "./mcp-failure.ts";
import type { McpToolResult } from "./result-content.ts";
import type { McpTool } from "./tool-list.ts";

/** As the agent declares it. */
export interface McpServer {
  name: string;
  url: string;
}

export interface McpSession {
  sessionId: string;
  workspaceId: string;
  vaultIds: readonly string[];
}

/** A server that can be used in this turn. */
export interface McpLink {
  readonly name: string;
  readonly tools: readonly McpTool[];
  /** What the server has announced of its list since; never fails, a list that cannot be had stays as it was. */
  refresh(signal: AbortSignal): Promise<void>;
  /** Calls that find the connection gone open it anew. @throws McpFailure when there is no answer */
  call(tool: string, input: Record<string, unknown>, signal: AbortSignal): Promise<McpToolResult>;
}

/**
 * The MCP connections of this node (semantics §9): of a session whose turn runs here, and for a short while after it. A
 * session that waits has none (design §2.6).
 */
export interface McpConnector {
  /** One link or failure for each server, in their order. Never rejects for what a server does. */
  open(session: McpSession, servers: readonly McpServer[], signal: AbortSignal): Promise<(McpLink | McpOutage)[]>;
  /** The turn has ended: what is open may serve the next one, if that comes soon. */
  release(sessionId: string): void;
  /** The session has ended, or its lease is another node's. */
  close(sessionId: string): Promise<void>;
  /** Connections that are open, for those that watch. */
  size(): number;
  stop(): Promise<void>;
}

export interface McpOutage {
  readonly name: string;
  readonly failure: McpFailure;
}

export interface ConnectorDeps {
  credentials: McpCredentialSource;
  /** Refuses private addresses (design §7). */
  fetch: McpFetch;
  /** Of this product, as servers are told. */
  version: string;
  /** For the server's log: a connection that did not end cleanly. */
  onTrouble(error: unknown): void;
}

/** @param times for tests */
export function createMcpConnector(deps: ConnectorDeps, times: Partial<McpTimes> = {}): McpConnector {
  return new Connector({ ...deps, times: { ...MCP_TIMES, ...times } });
}

type Parts = ConnectorDeps & { times: McpTimes };

/** What one session has open. */
interface Held {
  links: Map<string, Link>;
  /** Set between turns. */
  idle: NodeJS.Timeout | null;
}

class Connector implements McpConnector {
  readonly #deps: Parts;
  readonly #held = new Map<string, Held>();
  #stopped = false;

  constructor(deps: Parts) {
    this.#deps = deps;
  }

  async open(session: McpSession, servers: readonly McpServer[], signal: AbortSignal): Promise<(McpLink | McpOutage)[]> {
    const held = this.#take(session.sessionId);
    // A server that was renamed, moved or taken out of the session.
    const left = [...held.links.values()].filter((link) => !servers.some((server) => link.isFor(server)));
    for (const link of left) held.links.delete(link.name);
    void Promise.all(left.map((link) => link.close()));
    return Promise.all(servers.map((server) => this.#open(held, session, server, signal)));
  }

  async #open(held: Held, session: McpSession, server: McpServer, signal: AbortSignal): Promise<McpLink | McpOutage> {
    const link = held.links.get(server.name) ?? new Link(this.#deps, session, server);
    held.links.set(server.name, link);
    try {
      await link.ensure(signal);
      await link.refresh(signal);
      // The server may have been stopped, or the session closed, while it was connecting.
      if (this.#held.get(session.sessionId) !== held) await link.close();
      return link;
    } catch (error) {
      if (held.links.get(server.name) === link) held.links.delete(server.name);
      if (!(error instanceof McpFailure)) throw error;
      return { name: server.name, failure: error };
    }
  }

  #take(sessionId: string): Held {
    const held = this.#held.get(sessionId) ?? { links: new Map(), idle: null };
    if (held.idle) clearTimeout(held.idle);
    held.idle = null;
    if (!this.#stopped) this.#held.set(sessionId, held);
    return held;
  }

  release(sessionId: string): void {
    const held = this.#held.get(sessionId);
    if (!held) return;
    if (held.links.size === 0) {
      this.#held.delete(sessionId);
      return;
    }
    held.idle ??= setTimeout(() => void this.close(sessionId), this.#deps.times.idleMs).unref();
    // In the order of their release: the first is the one that has waited longest.
    this.#held.delete(sessionId);
    this.#held.set(sessionId, held);
    this.#closeOldest();
  }

  #closeOldest(): void {
    const idle = [...this.#held].filter(([, held]) => held.idle !== null);
    let count = idle.reduce((sum, [, held]) => sum + held.links.size, 0);
    for (const [sessionId, held] of idle) {
      if (count <= MCP_IDLE_CONNECTIONS_MAX) return;
      count -= held.links.size;
      void this.close(sessionId);
    }
  }

  async close(sessionId: string): Promise<void> {
    const held = this.#held.get(sessionId);
    if (!held) return;
    this.#held.delete(sessionId);
    if (held.idle) clearTimeout(held.idle);
    await Promise.all([...held.links.values()].map((link) => link.close()));
  }

  size(): number {
    return [...this.#held.values()].reduce((sum, held) => sum + [...held.links.values()].filter((link) => link.isOpen).length, 0);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#held.keys()].map((sessionId) => this.close(sessionId)));
  }
}

/** One server of one session, over as many connections as it takes. */
class Link implements McpLink {
  readonly name: string;
  readonly #url: string;
  readonly #deps: Parts;
  readonly #credential: ConnectionCredential;
  #connection: Connection | null = null;
  #connecting: Promise<Connection> | null = null;
  #closed = false;

  constructor(deps: Parts, session: McpSession, server: McpServer) {
    this.name = server.name;
    this.#url = server.url;
    this.#deps = deps;
    const { credentials, times } = deps;
    this.#credential = new ConnectionCredential(
      () => credentials.credentialForMcp(session.workspaceId, session.vaultIds, server.url),
      (credentialId, staleToken) => credentials.refreshMcp(credentialId, staleToken),
      times.credentialFreshMs,
    );
  }

  get tools(): readonly McpTool[] {
    return this.#connection?.tools ?? [];
  }

  get isOpen(): boolean {
    return this.#connection !== null && !this.#connection.isOver;
  }

  isFor(server: McpServer): boolean {
    return server.name === this.name && server.url === this.#url;
  }

  /** What another credential has opened is not used: the MCP session may be somebody else's. */
  async ensure(signal: AbortSignal): Promise<Connection> {
    const open = this.#connection;
    if (open && !open.isOver && open.credentialId === (await this.#credential.id())) return open;
    // Calls run side by side: one connection for all of them.
    this.#connecting ??= this.#connect(open, signal).finally(() => {
      this.#connecting = null;
    });
    return this.#connecting;
  }

  async #connect(before: Connection | null, signal: AbortSignal): Promise<Connection> {
    if (this.#connection === before) this.#connection = null;
    void before?.close();
    // Here a database that cannot be reached shows as what it is; the library would take it for the server's fault.
    await this.#credential.id();
    const { fetch, version, times, onTrouble } = this.#deps;
    const options = { url: this.#url, credential: this.#credential, fetch, version, times, onTrouble };
    // The library is large, and most servers start without a session that needs it.
    const { connect } = await import("./connection.ts");
    const connection = await connect(options, signal);
    this.#connection = connection;
    if (this.#closed) await connection.close();
    return connection;
  }

  async refresh(signal: AbortSignal): Promise<void> {
    await this.#connection?.refresh(signal);
  }

  async call(tool: string, input: Record<string, unknown>, signal: AbortSignal): Promise<McpToolResult> {
    const connection = await this.ensure(signal);
    try {
      return await connection.call(tool, input, signal);
    } catch (error) {
      if (!(error instanceof SessionUnknown)) throw error;
      // It did not run there: once more, with a session of its own.
      return (await this.ensure(signal)).call(tool, input, signal);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const connection = this.#connection;
    this.#connection = null;
    await connection?.close();
  }
}
