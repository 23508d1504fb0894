import type { Requirements } from "./requirement.ts";

/** Memory stores, memories and their versions. */
export const MEMORY = {
  "memory.store-lifecycle": [
    "contract §10",
    "Create, retrieve, update (null keeps, an empty description clears, metadata is merged), list, archive, delete.",
  ],
  "memory.store-limits": [
    "contract §10",
    "Names of 1 to 255 characters without control characters, not unique; descriptions of 1,024.",
  ],
  "memory.store-filters": ["contract §2", "created_at[gte] and [lte] are inclusive; archived stores only when asked for."],
  "memory.archived": [
    "contract §10",
    "An archived store: reading, deleting and redacting go on, every write is a 400.",
    "memory-archived",
  ],
  "memory.content": [
    "contract §10",
    "UTF-8 of up to 102,400 bytes as it is, the empty text included; the hash is that of its bytes; null is empty.",
    "memory-null-content",
  ],
  "memory.paths": [
    "contract §10",
    "1 to 20 segments, none empty, . or ..; no control or format characters; NFC; 1,024 bytes; case-sensitive; the marker is reserved.",
    "memory-reserved",
  ],
  "memory.path-conflict": [
    "contract §10",
    "A path that is taken, or above or below one: 409 memory_path_conflict_error that names memory and path; also on rename.",
  ],
  "memory.view": ["contract §10", "basic: no content; full: content. Full is the default of retrieve, basic of all others."],
  "memory.update": ["contract §10", "Content, path or both; the id stays; what changes nothing makes no version."],
  "memory.precondition": [
    "contract §10",
    "A hash that differs is a 409 and changes nothing, unless all that is asked for is so already; of the content also when renaming.",
    "memory-precondition",
  ],
  "memory.precondition-race": ["contract §10", "Of updates that expect the same content, one happens."],
  "memory.path-race": ["contract §10", "Of creates of one path, or of paths below each other, one happens."],
  "memory.delete": ["contract §10", "With a hash that differs: 409, nothing deleted."],
  "memory.list": [
    "contract §10",
    "By path; depth 0 is everything below, 1 the children and prefixes of what is deeper; others 400.",
  ],
  "memory.list-prefix": ["contract §10", "Whole segments, ends with a slash, else 400."],
  "memory.list-pages": ["contract §1.6", "1 to 100, 20 by default and at most with contents; prefixes count; each item once."],
  "memory.count-max": ["semantics §13", "2,000 memories a store: one more is refused, those that are there can be changed."],
  "memory.versions": [
    "contract §10",
    "One for each change, the last first, with what it was and who made it; they outlive the memory; a deletion has its path only.",
  ],
  "memory.version-filters": ["contract §2", "By memory, operation, API key, session, service account and time."],
  "memory.redact": [
    "contract §10",
    "Takes path, content, hash and size out, keeps actor and times; again changes nothing; never the current version.",
  ],
  "memory.worker": ["contract §P2.9", "The official worker's own code downloads, uploads and deletes, with conflicts."],
  "memory.mounts": [
    "semantics §13",
    "Each store is a directory at its mount_path; what is written there becomes versions of the session's; nothing else under /mnt/memory can be written.",
    "memory-mounts",
  ],
  "memory.mount-notes": [
    "semantics §13",
    "The system prompt tells of each mount: name, path, access, description, instructions.",
  ],
  "memory.mount-conflict": [
    "semantics §13",
    "Sessions that change one memory at the same time: the store's text stays; the other one is kept and its agent told.",
    "memory-mounts",
  ],
  "memory.mount-read-only": ["semantics §13", "read_only is enforced by the mount."],
  "memory.mount-limits": [
    "semantics §13",
    "What cannot be a memory (size, encoding, path, number) is not stored, and the agent is told behind its call.",
    "memory-mounts",
  ],
  "memory.mount-background": [
    "semantics §13",
    "What runs on behind a call has its writes stored at the next one, or before the session is idle.",
  ],
  "memory.isolation": ["contract §1.1", "The ids of another workspace, or of another store, answer like unknown ones."],
} as const satisfies Requirements;
