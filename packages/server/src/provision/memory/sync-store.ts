import { type Actor, ApiError, MEMORIES_PER_STORE_MAX, MEMORY_CONTENT_BYTES_MAX } from "@sandbox0/protocol";
import { listMemoryPlaces, type MemoryStoreHead, readMemoryStoreHeads } from "../../store/memory-mounts.ts";
import type { Queryable } from "../../store/query.ts";
import type { Memories } from "../../resources/memory/memories.ts";
import { GuardedDir } from "./guarded-dir.ts";
import { describeContentProblem, type LocalTree, readLocalTree, sha256Of } from "./local-tree.ts";
import type { MemoryAttachment } from "./memory-mount.ts";
import { notices, tell, tellUnsaved, type Unsaved } from "./notices.ts";
import type { OpenMount } from "./open-mount.ts";
import { planSync, type RemoteSide, type SyncAction, type SyncMode } from "./plan-sync.ts";
import { pullMemories } from "./pull-memories.ts";
import { saveSyncState, type SyncState } from "./sync-state.ts";
import { readAt } from "./tree-files.ts";

export interface SyncDeps {
  db: Queryable;
  memories: Pick<Memories, "create" | "update" | "delete">;
  /** Files and directories of a store that are looked at. */
  entriesMax: number;
}

/** One sync meets the changes that others make during it in so many rounds; what is left then, the next one does. */
const ROUNDS_MAX = 3;
const NOTHING_SHA256 = sha256Of(new Uint8Array());
/** No store stands there. */
const UNSEEN = -1;

/**
 * Brings the directory and the store together. Each change of a file becomes a version of a memory, with the session as its
 * actor; each change of a memory becomes one of a file. Sentences for the agent are added to the mount's state.
 * @param always also look at the store's memories when nothing seems to have changed
 * @throws DatabaseUnavailable, or what the file system says
 */
export async function syncStore(deps: SyncDeps, mount: OpenMount, head: MemoryStoreHead | null, always: boolean): Promise<void> {
  const root = GuardedDir.open(mount.places.filesDir);
  try {
    let isDone = await syncOnce(deps, mount, root, head, always);
    for (let round = 1; !isDone && round < ROUNDS_MAX; round++) {
      const [again] = await readMemoryStoreHeads(deps.db, mount.workspaceId, [mount.attachment.storeId]);
      isDone = await syncOnce(deps, mount, root, again ?? null, true);
    }
  } finally {
    root.close();
  }
}

/** @returns false when somebody changed something meanwhile, here or there */
async function syncOnce(
  deps: SyncDeps,
  mount: OpenMount,
  root: GuardedDir,
  head: MemoryStoreHead | null,
  always: boolean,
): Promise<boolean> {
  const { state, attachment, places } = mount;
  const isSeen = !always && (head?.seq ?? 0) === state.seq;
  if (isSeen && attachment.access === "read_only") return true;
  const before = stampsOf(state);
  const tree = await readLocalTree(root, state.base, deps.entriesMax);
  if (tree.isCut) {
    tell(state, notices.cut(attachment.mountPath, deps.entriesMax));
    return true;
  }
  if (isSeen && isAsBase(tree, state)) {
    for (const [path, { stamp }] of tree.files) setStamp(state, path, stamp);
    const told = state.told.size;
    tellUnsaved(state, attachment.mountPath, tree.misfits);
    if (stampsOf(state) !== before || state.told.size !== told) saveSyncState(places.statePath, state);
    return true;
  }
  const remote = head === null ? new Map() : await readRemote(deps.db, attachment.storeId);
  settleSent(state, remote);
  if (state.isAfterReboot) forgetLost(state, tree);
  const sync = new Sync(deps, mount, root, tree, unsavedReasons(head));
  await sync.run(planSync({ base: hashesOf(state), local: tree, remote }, modeOf(attachment, head)));
  tellUnsaved(state, attachment.mountPath, [...tree.misfits, ...sync.unsaved]);
  // What could not be shown is tried again, although nothing may change in the store.
  state.seq = sync.unsaved.some(({ isUnseen }) => isUnseen === true) ? UNSEEN : (head?.seq ?? 0);
  saveSyncState(places.statePath, state);
  return sync.isDone;
}

async function readRemote(db: Queryable, storeId: string): Promise<RemoteSide> {
  const places = await listMemoryPlaces(db, storeId);
  return new Map(places.map(({ path, id, sha256 }) => [path, { id, sha256 }]));
}

function modeOf({ access }: MemoryAttachment, head: MemoryStoreHead | null): SyncMode {
  if (access === "read_only") return "mirror";
  return head === null || head.archived ? "frozen" : "both";
}

interface UnsavedReasons {
  full: string;
  frozen: string;
}

const unsavedReasons = (head: MemoryStoreHead | null): UnsavedReasons => ({
  full: `the store has ${MEMORIES_PER_STORE_MAX} memories, and can have no more; delete some first`,
  frozen: head === null ? "the store was deleted" : "the store is archived",
});

function hashesOf(state: SyncState): Map<string, string> {
  return new Map([...state.base].map(([path, { sha256 }]) => [path, sha256]));
}

const stampsOf = (state: SyncState): number => [...state.base.values()].filter(({ stamp }) => stamp !== null).length;

function setStamp(state: SyncState, path: string, stamp: string | null): void {
  const agreed = state.base.get(path);
  if (agreed !== undefined) agreed.stamp = stamp;
}

function isAsBase(tree: LocalTree, state: SyncState): boolean {
  return (
    tree.files.size === state.base.size && [...tree.files].every(([path, { sha256 }]) => state.base.get(path)?.sha256 === sha256)
  );
}

/** What was on its way when this was last cut off, and has arrived, is agreed on. */
function settleSent(state: SyncState, remote: RemoteSide): void {
  for (const [path, sha256] of state.sent) {
    const there = remote.get(path);
    if (there?.sha256 === sha256) state.base.set(path, { ...there, stamp: null });
  }
  state.sent.clear();
}

/** A file that is missing or empty after a power failure was not deleted or emptied by the session: it was not on the disk yet. */
function forgetLost(state: SyncState, tree: LocalTree): void {
  for (const path of state.base.keys()) {
    const { sha256 } = tree.files.get(path) ?? { sha256: NOTHING_SHA256 };
    if (sha256 === NOTHING_SHA256) state.base.delete(path);
  }
  state.isAfterReboot = false;
}

type Push = Extract<SyncAction, { type: "delete" | "rename" | "update" | "create" }>;
const isPush = (action: SyncAction): action is Push => ["delete", "rename", "update", "create"].includes(action.type);

/** One plan, carried out. */
class Sync {
  readonly unsaved: Unsaved[] = [];
  isDone = true;
  readonly #deps: SyncDeps;
  readonly #mount: OpenMount;
  readonly #root: GuardedDir;
  readonly #tree: LocalTree;
  readonly #reasons: UnsavedReasons;
  readonly #by: Actor;

  constructor(deps: SyncDeps, mount: OpenMount, root: GuardedDir, tree: LocalTree, reasons: UnsavedReasons) {
    this.#deps = deps;
    this.#mount = mount;
    this.#root = root;
    this.#tree = tree;
    this.#reasons = reasons;
    this.#by = { type: "session_actor", session_id: mount.sessionId };
  }

  async run(actions: readonly SyncAction[]): Promise<void> {
    const { state, places } = this.#mount;
    for (const action of actions) if (action.type === "agree" || action.type === "forget") this.#note(action.path);
    const pushes = actions.filter(isPush);
    for (const { type, path } of pushes) if (type !== "delete") state.sent.set(path, this.#hashOf(path));
    // Before anything is sent: it may be the last thing that this process does.
    if (pushes.length > 0) saveSyncState(places.statePath, state);
    for (const push of pushes) await this.#push(push);
    const pulled = await pullMemories(this.#deps.db, this.#mount, { root: this.#root, tree: this.#tree }, actions);
    if (!pulled.isDone) this.isDone = false;
    this.unsaved.push(...pulled.unsaved);
    for (const action of actions) if (action.type === "keep") this.#keep(action);
  }

  #hashOf(path: string): string {
    return this.#tree.files.get(path)?.sha256 ?? "";
  }

  /** Both sides have the same at this path, which may be nothing. */
  #note(path: string, id = this.#mount.state.base.get(path)?.id ?? ""): void {
    const file = this.#tree.files.get(path);
    if (file === undefined) this.#mount.state.base.delete(path);
    else this.#mount.state.base.set(path, { id, ...file });
  }

  #keep({ path, isFull }: { path: string; isFull: boolean }): void {
    const reason = isFull ? this.#reasons.full : this.#reasons.frozen;
    this.unsaved.push({ path, reason, stamp: this.#hashOf(path) });
  }

  async #push(push: Push): Promise<void> {
    try {
      await this.#send(push);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const { conflicting_path: inTheWay } = error.fields;
      if (error.type === "invalid_request_error") {
        this.unsaved.push({ path: push.path, reason: error.message, stamp: this.#hashOf(push.path) });
      } else if (inTheWay !== undefined && inTheWay !== push.path && push.type === "create") {
        const reason = `the store has a memory at ${JSON.stringify(inTheWay)}, and none can be above or below another one`;
        this.unsaved.push({ path: push.path, reason, stamp: this.#hashOf(push.path) });
        // Others have changed it meanwhile, or it is gone.
      } else this.isDone = false;
    }
  }

  async #send(push: Push): Promise<void> {
    const { memories } = this.#deps;
    const { workspaceId, attachment, state } = this.#mount;
    const at = { workspaceId, storeId: attachment.storeId };
    if (push.type === "delete") {
      await memories.delete({ ...at, id: push.id }, this.#by, push.sha256);
      state.base.delete(push.path);
      return;
    }
    const precondition = { type: "content_sha256" as const, content_sha256: push.type === "create" ? undefined : push.sha256 };
    if (push.type === "rename") {
      await memories.update({ ...at, id: push.id }, { path: push.path, precondition }, this.#by);
      state.base.delete(push.from);
      this.#note(push.path, push.id);
      return;
    }
    const content = this.#read(push.path);
    if (content === null) {
      this.isDone = false;
      return;
    }
    if (push.type === "update") {
      await memories.update({ ...at, id: push.id }, { content, precondition }, this.#by);
      this.#note(push.path, push.id);
      return;
    }
    const { id } = await memories.create(at, { path: push.path, content }, this.#by);
    this.#note(push.path, id);
    if (push.wasDeleted) tell(state, notices.createdAgain(`${attachment.mountPath}${push.path}`));
  }

  /** @returns `null` when it is no longer what the plan was made for */
  #read(path: string): string | null {
    const read = readAt(this.#root, path, MEMORY_CONTENT_BYTES_MAX);
    if (read === null || describeContentProblem(read.bytes) !== null) return null;
    return sha256Of(read.bytes) === this.#hashOf(path) ? read.bytes.toString("utf8") : null;
  }
}
