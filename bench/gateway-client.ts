/**
 * What the gateway's figures run, in a sandbox through its proxy and beside it without: the same requests either way.
 * Self-contained, because it is copied into the sandbox.
 *
 * Usage: node gateway-client.ts HOST REQUESTS CONNECTIONS BYTES  (prints {@link ClientTimes} as JSON)
 */
import { request as httpRequest } from "node:http";
import { type Agent, Agent as HttpsAgent, request } from "node:https";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** Milliseconds, and millions of bytes a second. */
export interface ClientTimes {
  /** Each on the same open connection. */
  requests: number[];
  /** Each with a connection of its own. */
  connections: number[];
  download: number;
  upload: number;
}

const HTTPS_PORT = 443;
const WARM_UP_REQUESTS = 100;
const UPLOAD_CHUNK = Buffer.alloc(64 * 1024, "u");
const BYTES_A_MB = 1e6;

const [host = "", requests = "", connections = "", bytes = ""] = process.argv.slice(2);
const proxy = process.env.HTTPS_PROXY ? new URL(process.env.HTTPS_PROXY) : null;
/** A placeholder in a sandbox with a credential: the gateway has to look for it, and finds it. */
const headers = process.env.TOKEN ? { authorization: `Bearer ${process.env.TOKEN}` } : {};

function openTunnel(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (proxy === null) throw new Error("there is no proxy to ask");
    const path = `${host}:${HTTPS_PORT}`;
    httpRequest({ host: proxy.hostname, port: proxy.port, method: "CONNECT", path, headers: { host: path } })
      .on("connect", (response, socket) =>
        response.statusCode === 200 ? resolve(socket) : reject(new Error(`CONNECT was answered with ${response.statusCode}`)),
      )
      .on("error", reject)
      .end();
  });
}

/** One connection, kept. */
async function connection(): Promise<Agent> {
  const options = { servername: host, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] };
  if (proxy === null) return new HttpsAgent({ keepAlive: true, maxSockets: 1, ...options });
  const secure = connectTls({ socket: await openTunnel(), ...options });
  await new Promise<void>((resolve, reject) => secure.once("secureConnect", resolve).once("error", reject));
  const agent = new HttpsAgent({ keepAlive: true, maxSockets: 1 });
  agent.createConnection = () => secure;
  return agent;
}

/** @returns milliseconds until the whole answer was read */
function send(agent: Agent, path: string, uploadBytes = 0): Promise<number> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const method = uploadBytes > 0 ? "POST" : "GET";
    const length = uploadBytes > 0 ? { "content-length": uploadBytes } : {};
    const sent = request({ agent, host, port: HTTPS_PORT, method, path, headers: { ...headers, ...length } }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`${path} was answered with ${response.statusCode}`));
      response.on("error", reject).on("end", () => resolve(performance.now() - startedAt));
      response.resume();
    }).on("error", reject);
    let left = uploadBytes;
    const write = (): void => {
      for (; left > 0; left -= UPLOAD_CHUNK.length) {
        if (sent.write(UPLOAD_CHUNK.subarray(0, left))) continue;
        left -= UPLOAD_CHUNK.length;
        sent.once("drain", write);
        return;
      }
      sent.end();
    };
    write();
  });
}

async function measure(): Promise<ClientTimes> {
  const kept = await connection();
  const times: ClientTimes = { requests: [], connections: [], download: 0, upload: 0 };
  for (let count = 0; count < WARM_UP_REQUESTS; count++) await send(kept, "/");
  for (let count = 0; count < Number(requests); count++) times.requests.push(await send(kept, "/"));
  const mb = Number(bytes) / BYTES_A_MB;
  times.download = mb / ((await send(kept, `/bytes/${bytes}`)) / 1000);
  times.upload = mb / ((await send(kept, "/sink", Number(bytes))) / 1000);
  kept.destroy();
  for (let count = 0; count < Number(connections); count++) {
    const startedAt = performance.now();
    const agent = await connection();
    await send(agent, "/");
    times.connections.push(performance.now() - startedAt);
    agent.destroy();
  }
  return times;
}

console.log(JSON.stringify(await measure()));
process.exit();
