import type { FastifyInstance } from "fastify";

/** Seconds for which a browser may remember the answer to its preflight. */
const PREFLIGHT_MAX_AGE_SECONDS = 600;
const METHODS = "GET, POST, PATCH, DELETE";
const EXPOSED = "request-id, anthropic-workspace-id, retry-after, x-should-retry";

/** Lets pages of the listed origins call the API (contract §1.1); without a list no other origin may. */
export function addCors(app: FastifyInstance, origins: readonly string[]): void {
  if (origins.length === 0) return;
  app.addHook("onRequest", async (request, reply) => {
    const { origin } = request.headers;
    reply.header("vary", "origin");
    if (origin === undefined || !origins.includes(origin)) return;
    reply.header("access-control-allow-origin", origin).header("access-control-expose-headers", EXPOSED);
    if (request.method !== "OPTIONS") return;
    await reply
      .code(204)
      .header("access-control-allow-methods", METHODS)
      .header("access-control-allow-headers", request.headers["access-control-request-headers"] ?? "")
      .header("access-control-max-age", String(PREFLIGHT_MAX_AGE_SECONDS))
      .send();
  });
}
