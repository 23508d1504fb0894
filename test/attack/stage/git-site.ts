import { execFile } from "node:child_process";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import type { Site } from "./web-servers.ts";

const ANSWER_BYTES_MAX = 256 * 1024 * 1024;
const SMART_PATH = /^\/[a-z0-9-]+[.]git\/(?:info\/refs|git-upload-pack)$/;

/** git's own server of its smart protocol, `git http-backend` (CGI), over the repositories `<dir>/<host>/<name>.git`. */
export function createGitSite(dir: string, host: string): Site {
  return async (request, response, body) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://pretend");
    const isSmart = request.method === "POST" || searchParams.get("service") === "git-upload-pack";
    if (request.headers.host?.replace(/:\d+$/, "") !== host || !SMART_PATH.test(pathname) || !isSmart) return false;
    await answerWithGit(request, response, body, { root: join(dir, host), path: pathname, user: null });
    return true;
  };
}

/** @param body in latin1: one character a byte. @param asked `user` may push */
export async function answerWithGit(
  request: IncomingMessage,
  response: ServerResponse,
  body: string,
  asked: { root: string; path: string; user: string | null },
): Promise<void> {
  const { head, rest } = await runBackend(Buffer.from(body, "latin1"), {
    GIT_PROJECT_ROOT: asked.root,
    GIT_HTTP_EXPORT_ALL: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
    PATH_INFO: asked.path,
    QUERY_STRING: new URL(request.url ?? "/", "http://pretend").searchParams.toString(),
    REQUEST_METHOD: request.method ?? "GET",
    CONTENT_TYPE: request.headers["content-type"] ?? "",
    CONTENT_LENGTH: String(body.length),
    HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
    GIT_PROTOCOL: String(request.headers["git-protocol"] ?? ""),
    PATH: process.env.PATH ?? "",
    ...(asked.user === null ? {} : { REMOTE_USER: asked.user }),
  });
  const status = Number(head.get("status")?.split(" ")[0] ?? 200);
  head.delete("status");
  response.writeHead(status, Object.fromEntries(head)).end(rest);
}

async function runBackend(body: Buffer, env: Record<string, string>): Promise<{ head: Map<string, string>; rest: Buffer }> {
  const output = await new Promise<Buffer>((resolve, reject) => {
    const options = { env, encoding: "buffer" as const, maxBuffer: ANSWER_BYTES_MAX };
    const child = execFile("git", ["http-backend"], options, (error, stdout) => (error ? reject(error) : resolve(stdout)));
    // It may answer without reading all of it.
    child.stdin?.on("error", () => undefined).end(body);
  });
  const end = output.indexOf("\r\n\r\n");
  const lines = output.subarray(0, end).toString("latin1").split("\r\n");
  const head = new Map(lines.map((line) => [line.split(":")[0]?.toLowerCase() ?? "", line.slice(line.indexOf(":") + 1).trim()]));
  return { head, rest: output.subarray(end + 4) };
}
