import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

export interface Asked {
  method: string;
  path: string;
  headers: IncomingMessage["headers"];
  body: string;
}
export type Answerer = (asked: Asked, response: ServerResponse, count: number) => void | Promise<void>;

export interface TestEndpoint {
  url: string;
  asked: Asked[];
  /** What it does from now on. */
  answer(answerer: Answerer): void;
  close(): void;
}

/** A server that remembers what it was asked and answers as a test says. */
export async function startEndpoint(first: Answerer = (_asked, response) => void response.end()): Promise<TestEndpoint> {
  const asked: Asked[] = [];
  let answerer = first;
  const server = createServer((request, response) => {
    void text(request).then(async (body) => {
      const one = { method: request.method ?? "", path: request.url ?? "", headers: request.headers, body };
      asked.push(one);
      await answerer(one, response, asked.length);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    answer(next) {
      answerer = next;
    },
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

/** A token endpoint whose refresh tokens are good for one use each, as RFC 9700 wants it: a second use is refused. */
export function rotatingTokens(first: string): { answer: Answerer; refused(): number; issued(): string[] } {
  let valid = first;
  let count = 0;
  let refused = 0;
  const issued: string[] = [];
  return {
    refused: () => refused,
    issued: () => issued,
    answer({ body }, response) {
      if (new URLSearchParams(body).get("refresh_token") !== valid) {
        refused += 1;
        return sendJson(response, 400, { error: "invalid_grant" });
      }
      count += 1;
      valid = `${first}-${count}`;
      const token = `access-${count}`;
      issued.push(token);
      return sendJson(response, 200, { access_token: token, token_type: "Bearer", expires_in: 3_600, refresh_token: valid });
    },
  };
}
