import {
  credentialCreateParamsSchema,
  credentialUpdateParamsSchema,
  vaultCreateParamsSchema,
  vaultListQuerySchema,
  vaultUpdateParamsSchema,
} from "@sandbox0/protocol";
import type { FastifyInstance } from "fastify";
import type { VaultApi } from "../../resources/vaults/open-vaults.ts";
import { workspaceOf } from "../auth.ts";
import { readBody, readQuery, sendValue } from "../json-body.ts";

interface Id {
  Params: { id: string };
}
interface CredentialId {
  Params: { id: string; credential: string };
}

export function addVaultRoutes(app: FastifyInstance, { vaults }: VaultApi): void {
  app.post("/v1/vaults", async (request, reply) =>
    sendValue(reply, await vaults.create(workspaceOf(request), readBody(request, vaultCreateParamsSchema))),
  );
  app.get("/v1/vaults", async (request, reply) =>
    sendValue(reply, await vaults.list(workspaceOf(request), readQuery(request, vaultListQuerySchema))),
  );
  app.get<Id>("/v1/vaults/:id", async (request, reply) =>
    sendValue(reply, await vaults.retrieve(workspaceOf(request), request.params.id)),
  );
  app.route<Id>({
    method: ["POST", "PATCH"],
    url: "/v1/vaults/:id",
    handler: async (request, reply) =>
      sendValue(reply, await vaults.update(workspaceOf(request), request.params.id, readBody(request, vaultUpdateParamsSchema))),
  });
  app.delete<Id>("/v1/vaults/:id", async (request, reply) =>
    sendValue(reply, await vaults.delete(workspaceOf(request), request.params.id)),
  );
  app.post<Id>("/v1/vaults/:id/archive", async (request, reply) =>
    sendValue(reply, await vaults.archive(workspaceOf(request), request.params.id)),
  );
}

export function addCredentialRoutes(app: FastifyInstance, { credentials }: VaultApi): void {
  const list = "/v1/vaults/:id/credentials";
  const one = `${list}/:credential`;
  app.post<Id>(list, async (request, reply) => {
    const params = readBody(request, credentialCreateParamsSchema);
    return sendValue(reply, await credentials.create(workspaceOf(request), request.params.id, params));
  });
  app.get<Id>(list, async (request, reply) => {
    const query = readQuery(request, vaultListQuerySchema);
    return sendValue(reply, await credentials.list(workspaceOf(request), request.params.id, query));
  });
  app.get<CredentialId>(one, async (request, reply) => {
    const { id, credential } = request.params;
    return sendValue(reply, await credentials.retrieve(workspaceOf(request), id, credential));
  });
  app.route<CredentialId>({
    method: ["POST", "PATCH"],
    url: one,
    handler: async (request, reply) => {
      const { id, credential } = request.params;
      const params = readBody(request, credentialUpdateParamsSchema);
      return sendValue(reply, await credentials.update(workspaceOf(request), id, credential, params));
    },
  });
  app.delete<CredentialId>(one, async (request, reply) => {
    const { id, credential } = request.params;
    return sendValue(reply, await credentials.delete(workspaceOf(request), id, credential));
  });
  app.post<CredentialId>(`${one}/archive`, async (request, reply) => {
    const { id, credential } = request.params;
    return sendValue(reply, await credentials.archive(workspaceOf(request), id, credential));
  });
  app.post<CredentialId>(`${one}/mcp_oauth_validate`, async (request, reply) => {
    const { id, credential } = request.params;
    return sendValue(reply, await credentials.validate(workspaceOf(request), id, credential));
  });
}
