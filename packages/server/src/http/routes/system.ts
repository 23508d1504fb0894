import type { FastifyInstance } from "fastify";
import type { Registry } from "prom-client";

export interface SystemDeps {
  registry: Registry;
  /** Rejects, or answers a sentence, when the server cannot do its work now. */
  checkReady(): Promise<string | null>;
  isStopping(): boolean;
  llmsText: string;
}

/** For load balancers, scrapers and agents: no key needed, nothing of any workspace inside. */
export function addSystemRoutes(app: FastifyInstance, deps: SystemDeps): void {
  app.get("/healthz", async (_request, reply) => reply.header("content-type", "application/json").send('{"status":"ok"}'));
  app.get("/readyz", async (_request, reply) => {
    const problem = deps.isStopping() ? "stopping" : await deps.checkReady();
    const body = problem === null ? { status: "ready" } : { status: "not_ready", problem };
    return reply
      .code(problem === null ? 200 : 503)
      .header("content-type", "application/json")
      .send(JSON.stringify(body));
  });
  app.get("/metrics", async (_request, reply) =>
    reply.header("content-type", deps.registry.contentType).send(await deps.registry.metrics()),
  );
  app.get("/llms.txt", async (_request, reply) => reply.header("content-type", "text/plain; charset=utf-8").send(deps.llmsText));
}
