import type { IncomingMessage, ServerResponse } from "node:http";
import type { Misbehaviour } from "./script.ts";

const CHUNK = "x".repeat(64 * 1024);

export function misbehave(how: Misbehaviour, request: IncomingMessage, response: ServerResponse): void {
  switch (how.type) {
    case "hang":
      return;
    case "cut":
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("event: message\ndata: {");
      setImmediate(() => response.destroy());
      return;
    case "html":
      response.writeHead(200, { "content-type": "text/html" }).end("<html><body>It works!</body></html>");
      return;
    case "broken_json":
      response.writeHead(200, { "content-type": "application/json" }).end('{"jsonrpc":"2.0","id":0,"resul');
      return;
    case "not_mcp":
      response.writeHead(200, { "content-type": "application/json" }).end('{"hello":"world"}');
      return;
    case "redirect":
      response.writeHead(307, { location: how.to }).end();
      return;
    case "status":
      response.writeHead(how.status, { "content-type": "text/plain" }).end(how.body ?? "");
      return;
    case "huge":
      sendHuge(how, response);
      return;
    case "echo_headers":
      response.writeHead(400, { "content-type": "text/plain" }).end(JSON.stringify(request.headers));
  }
}

function sendHuge({ bytes, as }: Extract<Misbehaviour, { type: "huge" }>, response: ServerResponse): void {
  response.writeHead(200, { "content-type": as === "json" ? "application/json" : "text/event-stream" });
  response.write(as === "json" ? '{"jsonrpc":"2.0","id":0,"result":{"x":"' : "event: message\ndata: ");
  let sent = 0;
  const more = (): void => {
    while (sent < bytes && !response.destroyed) {
      sent += CHUNK.length;
      if (!response.write(CHUNK)) {
        response.once("drain", more);
        return;
      }
    }
    response.end(as === "json" ? '"}}' : "\n\n");
  };
  more();
}
