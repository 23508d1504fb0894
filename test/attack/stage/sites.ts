import type { IncomingMessage, ServerResponse } from "node:http";
import type { Site } from "./web-servers.ts";

interface RpcRequest {
  id?: number | string;
  method: string;
  params?: { protocolVersion?: string };
}

/** An MCP server at `mcp.*` and `oauth.*` with one tool, `whoami`, which tells the headers of its request. */
const mcpSite: Site = async (request, response, body) => {
  if (!/^(mcp|oauth)\./.test(request.headers.host ?? "") || !request.url?.startsWith("/mcp")) return false;
  if (request.method !== "POST") {
    response.writeHead(405).end();
    return true;
  }
  const call = JSON.parse(body) as RpcRequest;
  if (call.id === undefined) response.writeHead(202).end();
  else sendJson(response, { jsonrpc: "2.0", id: call.id, ...answerOf(call, request) });
  return true;
};

function answerOf(call: RpcRequest, request: IncomingMessage): { result: unknown } | { error: unknown } {
  switch (call.method) {
    case "initialize": {
      const serverInfo = { name: "teller", version: "1" };
      return { result: { protocolVersion: call.params?.protocolVersion, capabilities: { tools: {} }, serverInfo } };
    }
    case "tools/list":
      return { result: { tools: [{ name: "whoami", description: "tells", inputSchema: { type: "object", properties: {} } }] } };
    case "tools/call":
      return { result: { content: [{ type: "text", text: JSON.stringify(request.headers) }] } };
    default:
      return { error: { code: -32601, message: `no such method, ${JSON.stringify(request.headers)}` } };
  }
}

/** A token endpoint at `auth.*`: new tokens are made of the old one, so that they are as easily found. */
const tokenSite: Site = async (request, response, body) => {
  if (!request.headers.host?.startsWith("auth.") || request.url !== "/token") return false;
  const old = new URLSearchParams(body).get("refresh_token") ?? "";
  sendJson(response, { access_token: `${old}new`, refresh_token: `${old}again`, token_type: "bearer", expires_in: 3600 });
  return true;
};

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}

export const SITES: readonly Site[] = [mcpSite, tokenSite];
