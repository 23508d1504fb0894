import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SandboxError, type Volume } from "@sandbox0/sandbox";
import { createMemories } from "../../resources/memory/memories.ts";
import { readMemoryStoreHeads } from "../../store/memory-mounts.ts";
import type { Database } from "../../store/pool.ts";
import type { ProvisionPart, ProvisionSession } from "../port.ts";
import { readAttachments } from "./attachments.ts";
import { giveTo, makePlaces, type MemoryAttachment, openMarkOf, ownerOf } from "./memory-mount.ts";
import { ENTRIES_MAX } from "./local-tree.ts";
import { memoryNotes } from "./mount-notes.ts";
import type { OpenMount } from "./open-mount.ts";
import { loadSyncState, saveSyncState } from "./sync-state.ts";
import { type SyncDeps, syncStore } from "./sync-store.ts";

/** Where texts that lost a conflict are put: with the tool results that were too long. */
const KEEP = { name: "tool-outputs", at: "/tmp/tool_outputs" };

export interface MemoryPartDeps {
  db: Database;
  /** Host directory of this server's own, below the sandbox driver's. */
  dir: string;
  now(): Date;
  /** Files and directories of a store that are looked at. */
  entriesMax?: number;
}

/**
 * Memory stores as directories of a session's sandbox (semantics §13): laid out before its first call of a turn, kept in step
 * with the store behind each call and at the turn's end.
 */
export function createMemoryPart(deps: MemoryPartDeps): ProvisionPart {
  return new MemoryPart(deps);
}

/** A session with stores, while a turn of it uses its sandbox. */
interface OpenSession {
  mounts: OpenMount[];
  /** Calls may end at the same time; syncs come one after the other. */
  last: Promise<unknown>;
}

class MemoryPart implements ProvisionPart {
  readonly name = "memory";
  readonly #deps: MemoryPartDeps;
  readonly #sync: SyncDeps;
  readonly #open = new Map<string, OpenSession>();

  constructor(deps: MemoryPartDeps) {
    this.#deps = deps;
    this.#sync = { db: deps.db, memories: createMemories(deps), entriesMax: deps.entriesMax ?? ENTRIES_MAX };
  }

  async equip({ sessionId }: ProvisionSession): ReturnType<NonNullable<ProvisionPart["equip"]>> {
    const attachments = await this.#attachmentsOf(sessionId);
    if (attachments.length === 0) return null;
    const mounts = attachments.map(({ storeId, mountPath, access }) => ({
      source: makePlaces(this.#deps.dir, sessionId, storeId).filesDir,
      at: mountPath,
      writable: access === "read_write",
    }));
    return { mounts, layers: [] };
  }

  async fill(session: ProvisionSession, volume: Volume): Promise<void> {
    const attachments = await this.#attachmentsOf(session.sessionId);
    if (attachments.length === 0) return;
    try {
      const mounts = attachments.map((attachment) => this.#openMount(session, volume, attachment));
      const open = { mounts, last: Promise.resolve() };
      this.#open.set(session.sessionId, open);
      writeFileSync(openMarkOf(this.#deps.dir, session.sessionId), "");
      await this.#syncAll(open, true);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOSPC" && code !== "EDQUOT" && code !== "EIO") throw error;
      throw new SandboxError("unavailable", `the session's memory stores could not be laid out (${code})`, { cause: error });
    }
  }

  async afterCall({ sessionId }: ProvisionSession): Promise<string[]> {
    const open = this.#open.get(sessionId);
    if (open === undefined) return [];
    return this.#inTurn(open, async () => {
      await this.#syncAll(open, false);
      return open.mounts.flatMap(takeWaiting);
    });
  }

  async beforeIdle({ sessionId }: ProvisionSession): Promise<void> {
    const open = this.#open.get(sessionId);
    if (open === undefined) return;
    try {
      await this.#inTurn(open, () => this.#syncAll(open, false));
      rmSync(openMarkOf(this.#deps.dir, sessionId), { force: true });
    } finally {
      this.#open.delete(sessionId);
    }
  }

  async notes({ sessionId }: ProvisionSession): Promise<string[]> {
    return memoryNotes(await this.#attachmentsOf(sessionId));
  }

  /** What a turn that a crash has cut off here may have written has to be stored, whether this one writes or not. */
  async isEager({ sessionId }: ProvisionSession): Promise<boolean> {
    return existsSync(openMarkOf(this.#deps.dir, sessionId));
  }

  async #syncAll({ mounts }: OpenSession, always: boolean): Promise<void> {
    const ids = mounts.map(({ attachment }) => attachment.storeId);
    const workspaceId = mounts[0]?.workspaceId ?? "";
    const heads = new Map((await readMemoryStoreHeads(this.#deps.db.reads, workspaceId, ids)).map((head) => [head.id, head]));
    for (const mount of mounts) {
      await syncStore(this.#sync, mount, heads.get(mount.attachment.storeId) ?? null, always);
      // The agent hears of it behind its next call, also when a server has been killed since.
      if (mount.state.waiting.length > 0) saveSyncState(mount.places.statePath, mount.state);
    }
  }

  #attachmentsOf(sessionId: string): Promise<MemoryAttachment[]> {
    return readAttachments(this.#deps.db.reads, sessionId);
  }

  #inTurn<T>(open: OpenSession, work: () => Promise<T>): Promise<T> {
    const done = open.last.then(work, work);
    open.last = done.catch(() => undefined);
    return done;
  }

  #openMount({ workspaceId, sessionId }: ProvisionSession, volume: Volume, attachment: MemoryAttachment): OpenMount {
    const places = makePlaces(this.#deps.dir, sessionId, attachment.storeId);
    const owner = ownerOf(volume.path);
    giveTo(owner, places.filesDir);
    const keep = { dir: join(volume.path, KEEP.name), at: KEEP.at };
    return { workspaceId, sessionId, attachment, places, owner, keep, state: loadSyncState(places.statePath) };
  }
}

function takeWaiting({ state, places }: OpenMount): string[] {
  const sentences = state.waiting.splice(0);
  if (sentences.length > 0) saveSyncState(places.statePath, state);
  return sentences;
}
