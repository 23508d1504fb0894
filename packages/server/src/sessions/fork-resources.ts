import { createId } from "@sandbox0/protocol";
import type { ResourceTokens } from "../resources/vaults/resource-tokens.ts";
import type { Database } from "../store/pool.ts";
import type { Queryable } from "../store/query.ts";
import { listSessionTokens, type SealedToken } from "../store/resource-tokens.ts";
import { copyOutputs } from "../store/session-forks.ts";
import { listSessionOutputs } from "../store/session-outputs.ts";
import { listSessionResources } from "../store/session-resources.ts";
import { type NewResources, storeResources } from "./new-resources.ts";

/** By the id of the source's resource. */
export type ForkTokens = ReadonlyMap<string, SealedToken>;

/**
 * The tokens of a session's repositories, sealed anew for resources of a fork, because a seal holds for one resource only. Outside
 * of any transaction: the keys may have to be asked for, and who holds a connection must not wait for another one.
 */
export async function sealForkTokens(
  { db, tokens }: { db: Database; tokens: Pick<ResourceTokens, "reseal"> },
  workspaceId: string,
  sourceId: string,
): Promise<ForkTokens> {
  const sealed = new Map<string, SealedToken>();
  for (const token of await listSessionTokens(db.reads, workspaceId, sourceId))
    sealed.set(token.resourceId, await tokens.reseal(token, createId("sessionResource")));
  return sealed;
}

/** Gives a fork what its source has: each resource under an id of its own, and files as copies of its own. */
export async function forkResources(
  tx: Queryable,
  sourceId: string,
  fork: { id: string; workspaceId: string; tokens: ForkTokens },
  now: Date,
): Promise<void> {
  const resources: NewResources = { records: [], copies: [], tokens: [] };
  for (const source of await listSessionResources(tx, sourceId)) {
    const sealed = fork.tokens.get(source.id);
    const id = sealed?.resourceId ?? createId("sessionResource");
    let { config } = source;
    if (config.type === "file") {
      const copy = { from: config.file_id, id: createId("file"), sizeBytes: 0 };
      resources.copies.push(copy);
      config = { ...config, file_id: copy.id };
    }
    if (sealed !== undefined) resources.tokens.push(sealed);
    resources.records.push({ id, config, createdAt: now, updatedAt: now });
  }
  await storeResources(tx, fork, resources, { records: [], mountedBytes: 0 });
}

/** Files that the source has left in its outputs directory, so that they can be had of the fork, too, and those deleted of them cannot. */
export async function forkOutputs(tx: Queryable, sourceId: string, forkId: string, now: Date): Promise<void> {
  const outputs = await listSessionOutputs(tx, sourceId);
  const copies = outputs.flatMap(({ fileId }) => (fileId === null ? [] : [{ from: fileId, id: createId("file") }]));
  if (outputs.length > 0) await copyOutputs(tx, sourceId, { id: forkId, at: now }, copies);
}
