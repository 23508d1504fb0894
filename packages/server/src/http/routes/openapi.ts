import { createHash } from "node:crypto";
import type { FastifyInstance } from "fastify";
import { BUILT_OPERATIONS } from "./unbuilt.ts";

/** Seconds for which clients may use what they have without asking again. */
const MAX_AGE_SECONDS = 300;

/** The API's description, made when it is first asked for. No key needed: it is the same for everybody. */
export function addOpenApiRoute(app: FastifyInstance, version: string): void {
  let made: Promise<{ text: string; etag: string }> | undefined;
  app.get("/openapi.json", async (request, reply) => {
    made ??= makeDocument(version);
    const { text, etag } = await made;
    reply.header("etag", etag).header("cache-control", `public, max-age=${MAX_AGE_SECONDS}`);
    if (request.headers["if-none-match"] === etag) return reply.code(304).send();
    return reply.header("content-type", "application/json").send(text);
  });
}

async function makeDocument(version: string): Promise<{ text: string; etag: string }> {
  const { createOpenApiDocument } = await import("@sandbox0/protocol/openapi");
  const text = JSON.stringify(createOpenApiDocument({ version, built: BUILT_OPERATIONS }));
  return { text, etag: `"${createHash("sha256").update(text).digest("base64url")}"` };
}
