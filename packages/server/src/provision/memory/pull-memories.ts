import { chownSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextRound } from "node:timers/promises";
import { MEMORY_CONTENT_BYTES_MAX } from "@sandbox0/protocol";
import { type MemoryPlace, readMemoryContents } from "../../store/memory-mounts.ts";
import type { Queryable } from "../../store/query.ts";
import { GuardedDir } from "./guarded-dir.ts";
import { type LocalTree, sha256Of } from "./local-tree.ts";
import { notices, tell, type Unsaved } from "./notices.ts";
import type { OpenMount } from "./open-mount.ts";
import type { SyncAction } from "./plan-sync.ts";
import { lookAt, readAt, receiveAt, removeAt } from "./tree-files.ts";

/** Contents that are in memory at the same time: 5 MB at most. */
const CONTENTS_AT_ONCE = 50;
/** What Linux lets one name have. */
const NAME_BYTES_MAX = 255;
const KEPT_NAME_DIGITS = 12;

type Pull = Extract<SyncAction, { type: "pull" }>;
type Content = MemoryPlace & { content: Buffer };

interface LocalDir {
  root: GuardedDir;
  /** As it was when the plan was made. */
  tree: LocalTree;
}

/** @returns what is not saved for it, and whether all was as the plan had it */
export async function pullMemories(
  db: Queryable,
  mount: OpenMount,
  local: LocalDir,
  actions: readonly SyncAction[],
): Promise<{ isDone: boolean; unsaved: Unsaved[] }> {
  const puller = new Puller(mount, local);
  for (const action of actions) if (action.type === "remove") puller.remove(action.path);
  const pulls = actions.filter((action) => action.type === "pull");
  for (let start = 0; start < pulls.length; start += CONTENTS_AT_ONCE) {
    const some = pulls.slice(start, start + CONTENTS_AT_ONCE);
    const ids = some.map(({ id }) => id);
    const contents = new Map((await readMemoryContents(db, mount.attachment.storeId, ids)).map((memory) => [memory.id, memory]));
    for (const pull of some) puller.pull(pull, contents.get(pull.id));
    await nextRound();
  }
  return puller;
}

class Puller {
  readonly unsaved: Unsaved[] = [];
  isDone = true;
  readonly #mount: OpenMount;
  readonly #local: LocalDir;

  constructor(mount: OpenMount, local: LocalDir) {
    this.#mount = mount;
    this.#local = local;
  }

  remove(path: string): void {
    const now = this.#asPlanned(path);
    if (now === null) {
      this.isDone = false;
      return;
    }
    removeAt(this.#local.root, path);
    this.#mount.state.base.delete(path);
  }

  pull({ path, was }: Pull, memory: Content | undefined): void {
    const now = this.#asPlanned(path);
    // Moved or deleted since; or the session is still at it.
    if (memory === undefined || memory.path !== path || now === null) {
      this.isDone = false;
      return;
    }
    const keptAt = was === "changed" ? this.#keep(now.bytes ?? Buffer.alloc(0)) : null;
    if (was === "changed" && keptAt === null) {
      const reason = "somebody else has changed the memory, and there is no place to keep your text in";
      this.unsaved.push({ path, reason, stamp: memory.sha256 });
    } else if (receiveAt(this.#local.root, path, this.#stage(memory.content), this.#mount.owner)) {
      this.#mount.state.base.set(path, { id: memory.id, sha256: memory.sha256, stamp: null });
      this.#tell(path, was, keptAt);
    } else {
      this.#mount.state.base.delete(path);
      const isLong = path.split("/").some((segment) => Buffer.byteLength(segment) > NAME_BYTES_MAX);
      const reason = isLong ? "no file can have such a long name" : "something else is in its place";
      this.unsaved.push({ path, reason, stamp: memory.sha256, isUnseen: true });
    }
  }

  #tell(path: string, was: Pull["was"], keptAt: string | null): void {
    const { state, attachment } = this.#mount;
    const at = `${attachment.mountPath}${path}`;
    if (keptAt !== null) tell(state, notices.conflict(at, keptAt));
    if (was === "deleted") tell(state, notices.restored(at));
    if (was === "undeletable") tell(state, notices.putBack(at));
  }

  /** What is at the path, if that is still what the plan was made for. */
  #asPlanned(path: string): { bytes: Buffer | null } | null {
    const { root, tree } = this.#local;
    const planned = tree.files.get(path);
    if (planned === undefined) return (lookAt(root, path)?.type ?? "directory") === "directory" ? { bytes: null } : null;
    const read = readAt(root, path, MEMORY_CONTENT_BYTES_MAX);
    return read !== null && sha256Of(read.bytes) === planned.sha256 ? { bytes: read.bytes } : null;
  }

  /** Beside the directory: what comes from there is whole. */
  #stage(content: Buffer): string {
    const { owner, places } = this.#mount;
    const path = join(places.incomingDir, "file");
    writeFileSync(path, content, { mode: 0o644 });
    if (owner !== null) chownSync(path, owner.uid, owner.gid);
    return path;
  }

  /** @returns what the file with the text is called in the sandbox; `null` when it cannot be put there */
  #keep(text: Buffer): string | null {
    const { keep, owner } = this.#mount;
    const name = `unsaved-memory-${sha256Of(text).slice(0, KEPT_NAME_DIGITS)}.txt`;
    const dir = GuardedDir.tryOpen(keep.dir);
    if (dir === null) return null;
    try {
      return dir.write(name, text, owner) ? `${keep.at}/${name}` : null;
    } finally {
      dir.close();
    }
  }
}
