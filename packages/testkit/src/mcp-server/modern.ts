import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, Server } from "@modelcontextprotocol/server";
import { type ScriptedTool, textResult } from "./script.ts";

export interface ModernMcpServer {
  readonly url: string;
  /** Inputs of the calls that reached a tool. */
  readonly calls: readonly Record<string, unknown>[];
  setTools(tools: readonly ScriptedTool[]): void;
  close(): Promise<void>;
}

/** A server that speaks revision 2026-07-28 of MCP, which knows neither sessions nor `initialize`, and nothing older. */
export async function createModernMcpServer(first: readonly ScriptedTool[]): Promise<ModernMcpServer> {
  let tools = first;
  const calls: Record<string, unknown>[] = [];
  const handler = createMcpHandler(
    () => {
      const server = new Server({ name: "modern", version: "1" }, { capabilities: { tools: { listChanged: true } } });
      server.setRequestHandler("tools/list", () => ({
        tools: tools.map(({ name, description = name, inputSchema = { type: "object" as const } }) => ({
          name,
          description,
          inputSchema,
        })),
      }));
      server.setRequestHandler("tools/call", async ({ params }, { mcpReq }) => {
        const input = params.arguments ?? {};
        calls.push(input);
        const tool = tools.find(({ name }) => name === params.name);
        const progress = async (): Promise<void> => undefined;
        return (await tool?.run?.(input, { signal: mcpReq.signal, progress })) ?? textResult(JSON.stringify(input));
      });
      return server;
    },
    { legacy: "reject" },
  );
  // The SDK's own types disagree under `exactOptionalPropertyTypes`.
  const http = createServer(toNodeHandler(handler) as RequestListener).listen(0, "127.0.0.1");
  await once(http, "listening");
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`,
    calls,
    setTools(next) {
      tools = next;
      handler.notify.toolsChanged();
    },
    async close() {
      await handler.close();
      http.closeAllConnections();
      http.close();
      await once(http, "close");
    },
  };
}
