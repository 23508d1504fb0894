import type { Requirements } from "./requirement.ts";

/** Repositories of sessions. */
export const REPOSITORIES = {
  "repositories.clone": [
    "semantics §12",
    "A repository is cloned to its mount path at the session's start, on the default branch unless it says otherwise.",
  ],
  "repositories.checkout": ["contract §6.1", "`checkout` is a branch, or a commit by its full hash.", "repositories"],
  "repositories.push": ["semantics §12", "git pull and push work in the sandbox without handling the token."],
  "repositories.token-outside": ["semantics §12", "The token never enters the sandbox: it is added on the way."],
  "repositories.limited": [
    "semantics §12",
    "Limited networking does not shut a session's repositories out, nor do they open their host.",
    "repositories",
  ],
  "repositories.rotate": ["contract §6.1", "resources.update rotates the token, also for a sandbox that runs."],
  "repositories.errors": [
    "contract §8.3",
    "Five errors, with the repository's URL, always `retrying`: the session goes on without the repository.",
    "repositories",
  ],
  "repositories.retried": ["contract §8.3", "What could not be cloned is tried again.", "repositories"],
  "repositories.cached": ["semantics §12", "Repositories are cached between sessions.", "repositories"],
} as const satisfies Requirements;
