import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { SSEServerTransport } from "@modelcontextprotocol/sdk/server/sse.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { CallToolRequestSchema, ErrorCode, ListToolsRequestSchema, McpError } from "@modelcontextprotocol/sdk/types.js";
import { misbehave } from "./misbehave.ts";
import { type Misbehaviour, type ScriptedTool, type SeenRequest, textResult } from "./script.ts";

const BODY_BYTES_MAX = 8 * 1024 * 1024;

export interface ScriptedMcpServerOptions {
  /** Default streamable HTTP. `sse`: the deprecated transport alone; a POST to its URL is a 404. */
  transport?: "streamable" | "sse";
  tools?: readonly ScriptedTool[];
  /** Tools a page of `tools/list`; default all on one. */
  pageSize?: number;
  /** Bearer tokens that are let in; unset: everybody is. */
  tokens?: readonly string[];
}

/**
 * An MCP server of the official SDK that plays a script: real transports, sessions and pages, tools of the test's making,
 * and misbehaviour on demand. Its token endpoint (`/token`) gives a new access token for the refresh token `refresh`.
 */
export interface ScriptedMcpServer {
  /** `http://127.0.0.1:<port>/mcp`, or `/sse`. */
  readonly url: string;
  readonly tokenEndpoint: string;
  readonly requests: readonly SeenRequest[];
  /** `tools/call` requests that reached a tool: name and input. */
  readonly calls: readonly { name: string; input: Record<string, unknown> }[];
  /** MCP sessions that are open now. */
  readonly sessions: number;
  readonly refreshes: number;
  /** Replaces the tools and tells every client that they changed. */
  setTools(tools: readonly ScriptedTool[]): Promise<void>;
  /** From now on; `null`: everybody is let in. */
  setTokens(tokens: readonly string[] | null): void;
  /** Asked for each request; `null`: it is answered as it should be. */
  misbehave(choose: ((request: SeenRequest) => Misbehaviour | null) | null): void;
  /** Forgets every session, as a restart does: requests with their ids get a 404. */
  forgetSessions(): void;
  close(): Promise<void>;
}

export async function createScriptedMcpServer(options: ScriptedMcpServerOptions = {}): Promise<ScriptedMcpServer> {
  const server = new PlayedServer(options);
  await server.listen();
  return server;
}

interface OpenSession {
  server: Server;
  transport: StreamableHTTPServerTransport | SSEServerTransport;
}

class PlayedServer implements ScriptedMcpServer {
  readonly requests: SeenRequest[] = [];
  readonly calls: { name: string; input: Record<string, unknown> }[] = [];
  refreshes = 0;
  readonly #http = createServer((request, response) => {
    this.#answer(request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else response.writeHead(500).end(String(error));
    });
  });
  readonly #open = new Map<string, OpenSession>();
  readonly #kind: "streamable" | "sse";
  readonly #pageSize: number;
  #tools: readonly ScriptedTool[];
  #tokens: readonly string[] | null;
  #choose: ((request: SeenRequest) => Misbehaviour | null) | null = null;

  constructor({ transport = "streamable", tools = [], pageSize = Number.POSITIVE_INFINITY, tokens }: ScriptedMcpServerOptions) {
    this.#kind = transport;
    this.#tools = tools;
    this.#pageSize = pageSize;
    this.#tokens = tokens ?? null;
  }

  async listen(): Promise<void> {
    this.#http.listen(0, "127.0.0.1");
    await once(this.#http, "listening");
  }

  get #origin(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }
  get url(): string {
    return `${this.#origin}/${this.#kind === "sse" ? "sse" : "mcp"}`;
  }
  get tokenEndpoint(): string {
    return `${this.#origin}/token`;
  }
  get sessions(): number {
    return this.#open.size;
  }

  async setTools(tools: readonly ScriptedTool[]): Promise<void> {
    this.#tools = tools;
    await Promise.all([...this.#open.values()].map(({ server }) => server.sendToolListChanged()));
  }

  setTokens(tokens: readonly string[] | null): void {
    this.#tokens = tokens;
  }

  misbehave(choose: ((request: SeenRequest) => Misbehaviour | null) | null): void {
    this.#choose = choose;
  }

  forgetSessions(): void {
    for (const [id, { server }] of this.#open) {
      this.#open.delete(id);
      void server.close();
    }
  }

  async close(): Promise<void> {
    this.forgetSessions();
    this.#http.closeAllConnections();
    this.#http.close();
    await once(this.#http, "close");
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request);
    const seen = describe(request, body);
    this.requests.push(seen);
    if (seen.path === "/token") {
      this.#refresh(body, response);
      return;
    }
    const how = this.#choose?.(seen);
    if (how) misbehave(how, request, response);
    else if (!this.#isLetIn(seen)) response.writeHead(401, { "www-authenticate": 'Bearer error="invalid_token"' }).end();
    else if (this.#kind === "sse") await this.#answerSse(seen, request, response);
    else await this.#answerStreamable(seen, request, response);
  }

  #isLetIn({ authorization }: SeenRequest): boolean {
    return this.#tokens === null || this.#tokens.some((token) => authorization === `Bearer ${token}`);
  }

  /** RFC 6749 §6, and no more of it. */
  #refresh(body: string, response: ServerResponse): void {
    const form = new URLSearchParams(body);
    const isGood = form.get("grant_type") === "refresh_token" && form.get("refresh_token") === "refresh";
    response.setHeader("content-type", "application/json");
    if (!isGood) {
      response.writeHead(400).end(JSON.stringify({ error: "invalid_grant" }));
      return;
    }
    this.refreshes += 1;
    const token = `access-token-${this.refreshes}`;
    this.#tokens = [token];
    response.writeHead(200).end(JSON.stringify({ access_token: token, token_type: "Bearer", expires_in: 3600 }));
  }

  async #answerStreamable(seen: SeenRequest, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (seen.path !== "/mcp") {
      response.writeHead(404).end();
      return;
    }
    const message = seen.body === "" ? undefined : (JSON.parse(seen.body) as unknown);
    const known = this.#open.get(seen.sessionId ?? "");
    if (known) {
      await (known.transport as StreamableHTTPServerTransport).handleRequest(request, response, message);
      return;
    }
    if (seen.rpcMethod !== "initialize") {
      response.writeHead(seen.sessionId === null ? 400 : 404, { "content-type": "text/plain" }).end("no such session");
      return;
    }
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      onsessioninitialized: (id) => void this.#open.set(id, { server, transport }),
      onsessionclosed: (id) => void this.#open.delete(id),
    });
    const server = await this.#connect(transport);
    await transport.handleRequest(request, response, message);
  }

  async #answerSse(seen: SeenRequest, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (seen.path === "/sse" && seen.httpMethod === "GET") {
      const transport = new SSEServerTransport("/messages", response);
      const server = await this.#connect(transport);
      this.#open.set(transport.sessionId, { server, transport });
      response.once("close", () => this.#open.delete(transport.sessionId));
      return;
    }
    const id = new URL(request.url ?? "", this.#origin).searchParams.get("sessionId");
    const known = this.#open.get(id ?? "");
    if (seen.path !== "/messages" || !known) response.writeHead(404).end();
    else await (known.transport as SSEServerTransport).handlePostMessage(request, response, JSON.parse(seen.body));
  }

  async #connect(transport: OpenSession["transport"]): Promise<Server> {
    const server = new Server(
      { name: "scripted", version: "1" },
      { capabilities: { tools: { listChanged: true } }, instructions: "Plays a script." },
    );
    server.setRequestHandler(ListToolsRequestSchema, ({ params }) => this.#page(Number(params?.cursor ?? 0)));
    server.setRequestHandler(CallToolRequestSchema, async ({ params }, extra) => {
      const tool = this.#tools.find(({ name }) => name === params.name);
      if (!tool) throw new McpError(ErrorCode.InvalidParams, `no tool is called ${params.name}`);
      const input = params.arguments ?? {};
      this.calls.push({ name: tool.name, input });
      const progress = async (done: number): Promise<void> => {
        const progressToken = params._meta?.progressToken;
        if (progressToken === undefined) return;
        await extra.sendNotification({ method: "notifications/progress", params: { progressToken, progress: done } });
      };
      return (await tool.run?.(input, { signal: extra.signal, progress })) ?? textResult(JSON.stringify(input));
    });
    // The SDK's own types disagree under `exactOptionalPropertyTypes`.
    await server.connect(transport as Parameters<Server["connect"]>[0]);
    return server;
  }

  #page(from: number) {
    const tools = this.#tools.slice(from, from + this.#pageSize).map(({ name, description, inputSchema }) => ({
      name,
      ...(description === undefined ? {} : { description }),
      inputSchema: inputSchema ?? { type: "object" as const },
    }));
    const next = from + this.#pageSize;
    return { tools, ...(next < this.#tools.length ? { nextCursor: String(next) } : {}) };
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new Error("the request is too large for the scripted server");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function describe(request: IncomingMessage, body: string): SeenRequest {
  const headers = request.headers;
  return {
    httpMethod: request.method ?? "",
    path: (request.url ?? "").replace(/\?.*$/, ""),
    rpcMethod: /"method":"([^"]+)"/.exec(body)?.[1] ?? null,
    authorization: headers.authorization ?? null,
    sessionId: (headers["mcp-session-id"] as string | undefined) ?? null,
    body,
  };
}
