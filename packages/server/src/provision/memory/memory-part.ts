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
import { notices } from "./notices.ts";
import type { OpenMount } from "./open-mount.ts";
import { loadSyncState, readBootId, saveSyncState } from "./sync-state.ts";
import { type SyncDeps, syncStore } from "./sync-store.ts";

/** Where texts that lost a conflict are put: with the tool results that were too long. */
const KEEP = { name: "tool-outputs", at: "/tmp/tool_outputs" };

/** The disk takes no more, or is broken. */
const DISK_TROUBLE = new Set(["ENOSPC", "EDQUOT", "EFBIG", "EIO", "EROFS"]);

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

class MemoryPart implements ProvisionPart {
  readonly name = "memory";
  readonly #deps: MemoryPartDeps;
  readonly #sync: SyncDeps;
  /** Of the sessions with stores, while a turn of theirs uses its sandbox. */
  readonly #open = new Map<string, OpenMount[]>();
  /** What is under way for a session, and what comes behind it: calls may end at the same time. */
  readonly #last = new Map<string, Promise<unknown>>();
  readonly #boot = readBootId();

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

  fill(session: ProvisionSession, volume: Volume): Promise<void> {
    const { sessionId } = session;
    return this.#inTurn(sessionId, async () => {
      const attachments = await this.#attachmentsOf(sessionId);
      if (attachments.length === 0) return;
      try {
        const mounts: OpenMount[] = [];
        for (const attachment of attachments) mounts.push(await this.#openMount(session, volume, attachment));
        this.#open.set(sessionId, mounts);
        writeFileSync(openMarkOf(this.#deps.dir, sessionId), "");
        await this.#syncAll(mounts, true);
      } catch (error) {
        if (!isDiskTrouble(error)) throw error;
        const { code } = error as NodeJS.ErrnoException;
        throw new SandboxError("unavailable", `the server's disk does not take the session's memory stores (${code})`, {
          cause: error,
        });
      }
    });
  }

  async #openMount(
    { workspaceId, sessionId }: ProvisionSession,
    volume: Volume,
    attachment: MemoryAttachment,
  ): Promise<OpenMount> {
    const places = makePlaces(this.#deps.dir, sessionId, attachment.storeId);
    const owner = ownerOf(volume.path);
    await giveTo(owner, places.filesDir);
    const keep = { dir: join(volume.path, KEEP.name), at: KEEP.at };
    return { workspaceId, sessionId, attachment, places, owner, keep, state: loadSyncState(places.statePath, this.#boot) };
  }

  async afterCall({ sessionId }: ProvisionSession): Promise<string[]> {
    if (!this.#open.has(sessionId)) return [];
    return this.#inTurn(sessionId, async () => {
      const mounts = this.#open.get(sessionId) ?? [];
      try {
        await this.#syncAll(mounts, false);
        return mounts.flatMap(takeWaiting);
      } catch (error) {
        if (!isDiskTrouble(error)) throw error;
        return [notices.diskTrouble()];
      }
    });
  }

  async beforeIdle({ sessionId, report }: ProvisionSession): Promise<void> {
    if (!this.#open.has(sessionId)) return;
    await this.#inTurn(sessionId, async () => {
      const mounts = this.#open.get(sessionId) ?? [];
      this.#open.delete(sessionId);
      try {
        await this.#syncAll(mounts, false);
        rmSync(openMarkOf(this.#deps.dir, sessionId), { force: true });
      } catch (error) {
        if (!isDiskTrouble(error)) throw error;
        // The next turn here begins with what is not stored yet.
        await report({ type: "unknown_error", message: notices.diskTrouble(), retry_status: { type: "retrying" } });
      }
    });
  }

  async notes({ sessionId }: ProvisionSession): Promise<string[]> {
    return memoryNotes(await this.#attachmentsOf(sessionId));
  }

  /** What a turn that a crash has cut off here may have written has to be stored, whether this one writes or not. */
  async isEager({ sessionId }: ProvisionSession): Promise<boolean> {
    return existsSync(openMarkOf(this.#deps.dir, sessionId));
  }

  async #syncAll(mounts: readonly OpenMount[], always: boolean): Promise<void> {
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

  #inTurn<T>(sessionId: string, work: () => Promise<T>): Promise<T> {
    const done = (this.#last.get(sessionId) ?? Promise.resolve()).then(work);
    const last = done.then(ignore, ignore).then(() => {
      if (this.#last.get(sessionId) === last) this.#last.delete(sessionId);
    });
    this.#last.set(sessionId, last);
    return done;
  }
}

/** Told to whoever waits for it. */
const ignore = (): void => undefined;

function isDiskTrouble(error: unknown): boolean {
  return DISK_TROUBLE.has((error as NodeJS.ErrnoException).code ?? "");
}

function takeWaiting({ state, places }: OpenMount): string[] {
  const sentences = state.waiting.splice(0);
  if (sentences.length > 0) saveSyncState(places.statePath, state);
  return sentences;
}
