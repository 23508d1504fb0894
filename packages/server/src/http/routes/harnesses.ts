import type { FastifyInstance } from "fastify";
import type { Harnesses } from "../../resources/harnesses/harnesses.ts";
import { sendValue } from "../json-body.ts";

/** Our own: which harnesses this server has, their versions, and why one cannot be used. */
export function addHarnessRoutes(app: FastifyInstance, harnesses: Harnesses): void {
  app.get("/sandbox0/v1/harnesses", async (_request, reply) => sendValue(reply, harnesses.list()));
}
