import type { Requirements } from "./requirement.ts";

/** The files of sessions, over time. */
export const VOLUMES = {
  "volumes.checkpoint": ["semantics §3", "When the session is idle its files are kept outside its sandbox.", "session-files"],
  "volumes.retention": [
    "semantics §3",
    "Files are kept 30 days from the first sandbox on; then the agent has a new, empty one and is told so; the log stays.",
    "session-files",
  ],
  "volumes.delete": ["semantics §4.4", "Deleting a session removes its sandbox and all that was kept of its files."],
} as const satisfies Requirements;
