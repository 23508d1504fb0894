import {
  type Actor,
  memoryCreateParamsSchema,
  memoryDeleteQuerySchema,
  memoryListQuerySchema,
  memoryStoreCreateParamsSchema,
  memoryStoreListQuerySchema,
  memoryStoreUpdateParamsSchema,
  memoryUpdateParamsSchema,
  memoryVersionListQuerySchema,
  viewQuerySchema,
} from "@sandbox0/protocol";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { MemoryApi } from "../../resources/memory/open-memory.ts";
import { principalOf, workspaceOf } from "../auth.ts";
import { readBody, readQuery, sendValue } from "../json-body.ts";

interface StoreId {
  Params: { store: string };
}
interface Id {
  Params: { store: string; id: string };
}

const STORES = "/v1/memory_stores";
const STORE = `${STORES}/:store`;

export function addMemoryStoreRoutes(app: FastifyInstance, { stores }: MemoryApi): void {
  app.post(STORES, async (request, reply) =>
    sendValue(reply, await stores.create(workspaceOf(request), readBody(request, memoryStoreCreateParamsSchema))),
  );
  app.get(STORES, async (request, reply) =>
    sendValue(reply, await stores.list(workspaceOf(request), readQuery(request, memoryStoreListQuerySchema))),
  );
  app.get<StoreId>(STORE, async (request, reply) =>
    sendValue(reply, await stores.retrieve(workspaceOf(request), request.params.store)),
  );
  app.route<StoreId>({
    method: ["POST", "PATCH"],
    url: STORE,
    handler: async (request, reply) => {
      const params = readBody(request, memoryStoreUpdateParamsSchema);
      return sendValue(reply, await stores.update(workspaceOf(request), request.params.store, params));
    },
  });
  app.delete<StoreId>(STORE, async (request, reply) =>
    sendValue(reply, await stores.delete(workspaceOf(request), request.params.store)),
  );
  app.post<StoreId>(`${STORE}/archive`, async (request, reply) =>
    sendValue(reply, await stores.archive(workspaceOf(request), request.params.store)),
  );
}

/** Contents may have NUL, and are stored as bytes. */
const AS_BYTES = { exempt: "content" };

export function addMemoryRoutes(app: FastifyInstance, { memories }: MemoryApi): void {
  const list = `${STORE}/memories`;
  const one = `${list}/:id`;
  app.post<StoreId>(list, async (request, reply) => {
    const params = readBody(request, memoryCreateParamsSchema, AS_BYTES);
    const { view } = readQuery(request, viewQuerySchema);
    return sendValue(reply, await memories.create(storeAt(request), params, actorOf(request), view));
  });
  app.get<StoreId>(list, async (request, reply) =>
    sendValue(reply, await memories.list(storeAt(request), readQuery(request, memoryListQuerySchema))),
  );
  app.get<Id>(one, async (request, reply) =>
    sendValue(reply, await memories.retrieve(placeAt(request), readQuery(request, viewQuerySchema).view)),
  );
  app.route<Id>({
    method: ["POST", "PATCH"],
    url: one,
    handler: async (request, reply) => {
      const params = readBody(request, memoryUpdateParamsSchema, AS_BYTES);
      const { view } = readQuery(request, viewQuerySchema);
      return sendValue(reply, await memories.update(placeAt(request), params, actorOf(request), view));
    },
  });
  app.delete<Id>(one, async (request, reply) => {
    const { expected_content_sha256: expected } = readQuery(request, memoryDeleteQuerySchema);
    return sendValue(reply, await memories.delete(placeAt(request), actorOf(request), expected));
  });
}

export function addMemoryVersionRoutes(app: FastifyInstance, { versions }: MemoryApi): void {
  const list = `${STORE}/memory_versions`;
  const one = `${list}/:id`;
  app.get<StoreId>(list, async (request, reply) =>
    sendValue(reply, await versions.list(storeAt(request), readQuery(request, memoryVersionListQuerySchema))),
  );
  app.get<Id>(one, async (request, reply) =>
    sendValue(reply, await versions.retrieve(placeAt(request), readQuery(request, viewQuerySchema).view)),
  );
  app.post<Id>(`${one}/redact`, async (request, reply) =>
    sendValue(reply, await versions.redact(placeAt(request), actorOf(request))),
  );
}

const storeAt = (request: FastifyRequest<StoreId>) => ({ workspaceId: workspaceOf(request), storeId: request.params.store });
const placeAt = (request: FastifyRequest<Id>) => ({
  workspaceId: workspaceOf(request),
  storeId: request.params.store,
  id: request.params.id,
});
const actorOf = (request: FastifyRequest): Actor => ({ type: "api_actor", api_key_id: principalOf(request).keyId });
