import { once } from "node:events";
import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { openSocket, requestHead } from "./http-connection.ts";

/** Made once and sent again and again: the client must cost little. */
const CHUNK_BYTES = 1024 * 1024;
const BOUNDARY = "bench-boundary";

/**
 * Uploads a file of so many bytes, as the SDK does, on a connection of its own.
 * @returns its id
 * @throws Error for any status but 200
 */
export async function uploadFile(url: string, apiKey: string, name: string, bytes: number): Promise<string> {
  const disposition = `content-disposition: form-data; name="file"; filename="${name}"`;
  const before = `--${BOUNDARY}\r\n${disposition}\r\ncontent-type: application/octet-stream\r\n\r\n`;
  const after = `\r\n--${BOUNDARY}--\r\n`;
  const socket = await openSocket(url);
  const answer = readAnswer(socket);
  const type = `content-type: multipart/form-data; boundary=${BOUNDARY}\r\ncontent-length: ${before.length + bytes + after.length}\r\n`;
  socket.write(`POST /v1/files HTTP/1.1\r\n${requestHead(url, apiKey)}${type}\r\n${before}`);
  const chunk = randomBytes(Math.min(CHUNK_BYTES, bytes));
  for (let left = bytes; left > 0; left -= chunk.length)
    if (!socket.write(left < chunk.length ? chunk.subarray(0, left) : chunk)) await once(socket, "drain");
  socket.write(after);
  const { status, body } = await answer;
  socket.destroy();
  if (status !== 200) throw new Error(`an upload failed: ${status} ${body}`);
  return (JSON.parse(body) as { id: string }).id;
}

/** Reads the file's content and drops it. @returns its bytes. @throws Error for any status but 200 */
export async function downloadFile(url: string, apiKey: string, id: string): Promise<number> {
  const socket = await openSocket(url);
  socket.write(`GET /v1/files/${id}/content HTTP/1.1\r\n${requestHead(url, apiKey)}connection: close\r\n\r\n`);
  let head = "";
  let bytes = 0;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    if (head.includes("\r\n\r\n")) bytes += chunk.length;
    else {
      head += chunk.toString("latin1");
      bytes = head.length - (head.indexOf("\r\n\r\n") + 4);
    }
  }
  if (!head.startsWith("HTTP/1.1 200")) throw new Error(`a download failed: ${head.slice(0, 500)}`);
  return bytes;
}

/** A short answer with its length. */
async function readAnswer(socket: Socket): Promise<{ status: number; body: string }> {
  let text = "";
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    text += chunk.toString("latin1");
    const [head = "", body] = text.split("\r\n\r\n");
    const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? Number.NaN);
    if (body !== undefined && body.length >= length) return { status: Number(head.slice(9, 12)), body };
  }
  throw new Error(`the server closed the connection: ${text}`);
}
