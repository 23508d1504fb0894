import type { SessionError } from "@sandbox0/protocol";
import type { RepositoryProblem } from "../../store/session-repositories.ts";

/** Why a repository cannot be had. `why` goes behind a colon, for whoever runs the session. */
export interface RepositoryFailure {
  problem: RepositoryProblem;
  why: string;
}

/** Of what git says. */
const COMPLAINT_CHARS_MAX = 1_000;

/** The session goes on without the repository (contract §8.3). */
export function repositoryError(url: string, mountPath: string, { problem, why }: RepositoryFailure): SessionError {
  return {
    type: problem,
    message: `The repository ${url} is not at ${mountPath}: ${why}. The session goes on without it; the next turn tries again.`,
    repository_url: url,
    retry_status: { type: "retrying" },
  };
}

/** What git or its server complained of, as one line; servers write it, too, so it is shown and never believed. */
export function complaintOf(text: string): string {
  const line = text
    .replaceAll(/[\p{Cc}\p{Cf}]+/gu, " ")
    .replaceAll(/ +/g, " ")
    .trim();
  return line.length > COMPLAINT_CHARS_MAX ? `…${line.slice(-COMPLAINT_CHARS_MAX)}` : line;
}
