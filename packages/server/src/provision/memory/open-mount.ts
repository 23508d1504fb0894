import type { Owner } from "./guarded-dir.ts";
import type { MemoryAttachment, MountPlaces } from "./memory-mount.ts";
import type { SyncState } from "./sync-state.ts";

/** A store of a session that runs, with what the host remembers of it. */
export interface OpenMount {
  workspaceId: string;
  sessionId: string;
  attachment: MemoryAttachment;
  places: MountPlaces;
  owner: Owner;
  /** Host directory for texts of the session's that lost a conflict, and what it is called in the sandbox. */
  keep: { dir: string; at: string };
  state: SyncState;
}
