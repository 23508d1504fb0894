import { connect, type Socket } from "node:net";
import { until } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TEST_KEY, type TestServer, startTestServer } from "./http-server.fixture.ts";

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ bodyMsMax: 200, files: { fileBytesMax: 1_000 } });
});
afterAll(async () => {
  expect(server.bugs.splice(0)).toEqual([]);
  await server.close();
});

interface Client {
  socket: Socket;
  received(): string;
  isClosed(): boolean;
}

function send(text: string): Client {
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  let received = "";
  let closed = false;
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    received += chunk;
  });
  socket.on("close", () => {
    closed = true;
  });
  // A server that closes on a client that sends resets the connection.
  socket.on("error", () => undefined);
  socket.write(text);
  return { socket, received: () => received, isClosed: () => closed };
}

const head = (path: string, headers: readonly string[]): string =>
  [`POST ${path} HTTP/1.1`, "host: x", `x-api-key: ${TEST_KEY}`, ...headers, "", ""].join("\r\n");

test("a body that does not come: 400 request_body_timeout, and the connection is left", async () => {
  const client = send(`${head("/v1/agents", ["content-type: application/json", "content-length: 100"])}{"name":`);
  await until(() => client.received().includes("request_body_timeout"));
  expect(client.received()).toMatch(/^HTTP\/1\.1 400 /);
  await until(() => client.isClosed());
});

test("a body that came in time, and one that there is not", async () => {
  const patient = await startTestServer({ bodyMsMax: 60_000 });
  const body = JSON.stringify({ name: "a", model: "claude-sonnet-5-5" });
  const agent = await patient.request("POST", "/v1/agents", { body });
  expect(agent.status).toBe(200);
  expect((await patient.request("POST", `/v1/agents/${String(agent.body.id)}/archive`)).status).toBe(200);
  expect(patient.bugs).toEqual([]);
  await patient.close();
});

test("an upload may take longer", async () => {
  const part = '--X\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\nhello';
  const end = "\r\n--X--\r\n";
  const headers = ["content-type: multipart/form-data; boundary=X", `content-length: ${part.length + end.length}`];
  const upload = send(`${head("/v1/files", headers)}${part}`);
  // Long enough for a body that is not an upload, sent after it.
  const other = send(head("/v1/agents", ["content-type: application/json", "content-length: 100"]));
  await until(() => other.received().includes("request_body_timeout"));
  upload.socket.write(end);
  await until(() => upload.received().includes('"type":"file"'));
  upload.socket.destroy();
  other.socket.destroy();
});

test("a client that was answered and goes on sending is left after a while", async () => {
  const headers = ["content-type: multipart/form-data; boundary=X", "transfer-encoding: chunked"];
  const part = '--X\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\n';
  const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
  const client = send(head("/v1/files", headers) + chunk(part) + chunk("x".repeat(5_000)));
  await until(() => client.received().includes("request_too_large"));
  const timer = setInterval(() => client.socket.write(chunk("x".repeat(1_000))), 20);
  try {
    await until(() => client.isClosed());
  } finally {
    clearInterval(timer);
  }
});
