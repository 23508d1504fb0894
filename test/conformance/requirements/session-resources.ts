import type { Requirements } from "./requirement.ts";

/** What sessions are given, and what they leave. */
export const SESSION_RESOURCES = {
  "resources.file": [
    "semantics §11",
    "A file resource is a copy of the session's own with a new id, mounted read-only below /mnt/session/uploads.",
  ],
  "resources.file-path": [
    "semantics §11",
    "mount_path is rooted once below /mnt/session/uploads, default its file id; `..`, a directory or a second resource there is a 400.",
  ],
  "resources.uploads-link": ["semantics §11", "/uploads leads to the mounted files."],
  "resources.file-runtime": [
    "contract §6.1",
    "Files are added to and removed from a session that lives; update is for repositories only.",
  ],
  "resources.api": ["contract §6.1", "add, list, retrieve, update and delete by `sesrsc_` ids; the session shows them."],
  "resources.limits": ["semantics §23", "At most 500 resources, 8 memory stores; unknown files and stores are a 400."],
  "resources.repository-token": ["contract §6.1", "A repository's token is written and rotated, and never returned."],
  "resources.repository-url": ["semantics §12", "A repository of GitHub is named by its page: https, owner, name, no `.git`."],
  "resources.memory-store": [
    "contract §6.1",
    "A memory store is there with name, description and mount path as they were; an archived one cannot be given.",
  ],
  "resources.list-filter": ["contract §6", "sessions.list finds the sessions of a memory store."],
  "resources.message-files": [
    "contract §7.2",
    "Images and documents by file id reach the model; a file that is not there or of no use there is a 400.",
  ],
  "outputs.listed": [
    "semantics §11",
    "What is written under /mnt/session/outputs is listed by scope_id as soon as the session is idle, and downloadable.",
  ],
  "outputs.same-file": ["semantics §11", "A path that is written again keeps its file id.", "outputs"],
  "outputs.inside": ["semantics §11", "Links out of the directory and odd names list nothing that is not in it.", "outputs"],
  "outputs.session-delete": ["semantics §4.4", "The session's files go with it; uploaded files stay."],
} as const satisfies Requirements;
