import { ApiError, masterKeyRotateParamsSchema } from "@sandbox0/protocol";
import type { FastifyInstance } from "fastify";
import { z } from "zod";
import { parseKey } from "../../resources/vaults/envelope.ts";
import type { VaultApi } from "../../resources/vaults/open-vaults.ts";
import { principalOf } from "../auth.ts";
import { readBody, sendValue } from "../json-body.ts";

const newKey = z.string().transform((text, context) => {
  const key = parseKey(text);
  if (key !== null) return key;
  context.addIssue({ code: "custom", message: "must be 32 bytes in hex or base64" });
  return z.NEVER;
});
const rotateSchema = masterKeyRotateParamsSchema.extend({ new_key: newKey.optional() });

/** Our own: the official API knows nothing of master keys. They are the installation's, so only an admin key may. */
export function addVaultKeyRoutes(app: FastifyInstance, vaults: VaultApi): void {
  app.post("/sandbox0/v1/vaults/rotate_key", async (request, reply) => {
    if (!principalOf(request).admin) throw new ApiError("permission_error", "Only an admin key may rotate the master key.");
    const { masterKeyId, rewrapped, unreadable } = await vaults.rotateKey(readBody(request, rotateSchema).new_key);
    return sendValue(reply, { type: "master_key_rotation", master_key_id: masterKeyId, rewrapped, unreadable });
  });
}
