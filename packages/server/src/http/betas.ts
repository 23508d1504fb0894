import type { FastifyRequest } from "fastify";

/** Whether a client asks for this beta (contract §1.3): some select the shape of the answer. */
export function hasBeta({ headers }: FastifyRequest, name: string): boolean {
  const betas = headers["anthropic-beta"];
  const list = Array.isArray(betas) ? betas.join(",") : (betas ?? "");
  return list.split(",").some((beta) => beta.trim() === name);
}
