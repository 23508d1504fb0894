import { modelListQuerySchema } from "@sandbox0/protocol";
import type { FastifyInstance } from "fastify";
import type { Models } from "../../resources/models/models.ts";
import { readQuery, sendValue } from "../json-body.ts";

export function addModelRoutes(app: FastifyInstance, models: Models): void {
  app.get("/v1/models", async (request, reply) => sendValue(reply, models.list(readQuery(request, modelListQuerySchema))));
  app.get<{ Params: { id: string } }>("/v1/models/:id", async (request, reply) =>
    sendValue(reply, models.retrieve(request.params.id)),
  );
}
