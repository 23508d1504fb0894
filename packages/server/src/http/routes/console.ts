import { readdir, readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";

/** No inline script or style, no other server, no frame around it: what an agent wrote can do nothing here but be read. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data: blob:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const HEADERS = {
  "content-security-policy": CONTENT_SECURITY_POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
} as const;

/** Their names have a hash of their content. */
const ASSETS = "assets/";
const IMMUTABLE = "public, max-age=31536000, immutable";
const INDEX = "index.html";
const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};
/** As the build writes them, the better first. */
const ENCODINGS = [
  ["br", ".br"],
  ["gzip", ".gz"],
] as const;

interface ConsoleFile {
  type: string;
  body: Buffer;
  encoded: Map<string, Buffer>;
}
type ConsoleFiles = ReadonlyMap<string, ConsoleFile>;

const NOT_BUILT =
  "The console is not built. Run `make setup` (or `npx vite build apps/console`) where this server runs, then reload.\n";

/**
 * The console at `/console`: built files, read once, and for every other path its index, which finds the page by itself.
 * Needs no key: the files are the same for everybody, and the key is asked for by the page.
 */
export function addConsoleRoutes(app: FastifyInstance, dir: string): void {
  let loaded: Promise<ConsoleFiles> | undefined;
  const files = async (): Promise<ConsoleFiles> => {
    loaded ??= loadFiles(dir);
    const found = await loaded;
    // It may be built while the server runs.
    if (!found.has(INDEX)) loaded = undefined;
    return found;
  };
  const index = async (request: FastifyRequest, reply: FastifyReply) => sendFile(await files(), INDEX, request, reply);
  app.get("/console", index);
  app.get<{ Params: { "*": string } }>("/console/*", async (request, reply) => {
    const built = await files();
    const path = request.params["*"];
    if (path.startsWith(ASSETS) && built.has(INDEX) && !built.has(path)) {
      return reply.code(404).headers(HEADERS).type("text/plain; charset=utf-8").send("There is no such file. Reload the page.\n");
    }
    return sendFile(built, built.has(path) ? path : INDEX, request, reply);
  });
}

function sendFile(files: ConsoleFiles, path: string, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  reply.headers(HEADERS);
  const file = files.get(path);
  if (file === undefined) return reply.code(503).type("text/plain; charset=utf-8").send(NOT_BUILT);
  reply.header("cache-control", path.startsWith(ASSETS) ? IMMUTABLE : "no-cache").header("vary", "accept-encoding");
  const accepted = (request.headers["accept-encoding"] ?? "").split(",").map((each) => each.split(";")[0]?.trim());
  const [encoding] = ENCODINGS.find(([name]) => accepted.includes(name) && file.encoded.has(name)) ?? [];
  const body = encoding === undefined ? file.body : file.encoded.get(encoding);
  if (encoding !== undefined) reply.header("content-encoding", encoding);
  return reply.type(file.type).send(body);
}

/** Everything that has a known type; nothing when there is no such directory. */
async function loadFiles(dir: string): Promise<ConsoleFiles> {
  const names = await listFiles(dir);
  const present = new Set(names);
  const files = names.flatMap((name) => {
    const type = TYPES[extname(name)];
    return type === undefined ? [] : [loadFile(dir, name, type, present)];
  });
  return new Map(await Promise.all(files));
}

async function loadFile(dir: string, name: string, type: string, present: ReadonlySet<string>): Promise<[string, ConsoleFile]> {
  const encodings = ENCODINGS.filter(([, suffix]) => present.has(name + suffix));
  const [body, ...bodies] = await Promise.all(
    ["", ...encodings.map(([, suffix]) => suffix)].map((suffix) => readFile(join(dir, name + suffix))),
  );
  if (body === undefined) throw new Error(`${name} was not read`);
  const encoded = new Map(
    encodings.flatMap(([encoding], place) => (bodies[place] ? [[encoding as string, bodies[place]] as const] : [])),
  );
  return [name.replaceAll("\\", "/"), { type, body, encoded }];
}

async function listFiles(dir: string): Promise<string[]> {
  try {
    return await readdir(dir, { recursive: true });
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}
