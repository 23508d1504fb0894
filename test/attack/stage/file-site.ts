import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join, normalize } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Site } from "./web-servers.ts";

/** Serves the folder `<dir>/<host>`, where a directory is its file `index`. A host without a folder is none of its own. */
export function createFileSite(dir: string): Site {
  return async (request, response) => {
    const host = (request.headers.host ?? "").replace(/:\d+$/, "");
    const folder = join(dir, host);
    if (!/^[a-z0-9.-]+$/.test(host) || !(await stat(folder).catch(() => null))?.isDirectory()) return false;
    const path = join(folder, normalize(decodeURIComponent(new URL(request.url ?? "/", "http://pretend").pathname)));
    const found = await stat(path).catch(() => null);
    const file = found?.isDirectory() ? join(path, "index") : path;
    const size = (await stat(file).catch(() => null))?.size;
    if (size === undefined) {
      response.writeHead(404).end("not found");
      return true;
    }
    const type = /[.]tgz$|[.]whl$|\/big$/.test(file)
      ? "application/octet-stream"
      : host.startsWith("npm.")
        ? "application/json"
        : "text/html";
    response.writeHead(200, { "content-type": type, "content-length": size });
    await pipeline(createReadStream(file), response);
    return true;
  };
}
