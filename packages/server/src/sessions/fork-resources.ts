import { createId } from "@sandbox0/protocol";
import type { ResourceTokens } from "../resources/vaults/resource-tokens.ts";
import type { Queryable } from "../store/query.ts";
import type { SealedToken } from "../store/resource-tokens.ts";
import { copyOutputs } from "../store/session-forks.ts";
import { listSessionOutputs } from "../store/session-outputs.ts";
import { listSessionResources, type ResourceRecord } from "../store/session-resources.ts";
import { type NewResources, storeResources } from "./new-resources.ts";

/**
 * Gives a fork what its source has: each resource under an id of its own, files as copies of its own, and tokens of
 * repositories sealed anew, because a seal holds for one resource only.
 */
export async function forkResources(
  { tx, tokens }: { tx: Queryable; tokens: ResourceTokens },
  sourceId: string,
  fork: { id: string; workspaceId: string },
  now: Date,
): Promise<void> {
  const resources: NewResources = { records: [], copies: [], tokens: [] };
  for (const source of await listSessionResources(tx, sourceId)) {
    const id = createId("sessionResource");
    let { config } = source;
    if (config.type === "file") {
      const copy = { from: config.file_id, id: createId("file"), sizeBytes: 0 };
      resources.copies.push(copy);
      config = { ...config, file_id: copy.id };
    }
    const sealed = config.type === "github_repository" ? await resealed(tokens, source, id) : null;
    if (sealed !== null) resources.tokens.push(sealed);
    resources.records.push({ id, config, createdAt: now, updatedAt: now });
  }
  await storeResources(tx, fork, resources, { records: [], mountedBytes: 0 });
}

async function resealed(tokens: ResourceTokens, source: ResourceRecord, id: string): Promise<SealedToken | null> {
  const token = await tokens.open(source.id);
  return token === null ? null : tokens.seal(id, token);
}

/** Files that the source has left in its outputs directory, so that they can be had of the fork, too. */
export async function forkOutputs(tx: Queryable, sourceId: string, forkId: string, now: Date): Promise<void> {
  const outputs = await listSessionOutputs(tx, sourceId);
  const copies = outputs.flatMap(({ fileId }) => (fileId === null ? [] : [{ from: fileId, id: createId("file") }]));
  if (copies.length > 0) await copyOutputs(tx, sourceId, { id: forkId, at: now }, copies);
}
