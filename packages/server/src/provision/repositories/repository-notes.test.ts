import { expect, test } from "vitest";
import type { SessionRepository } from "../../store/session-repositories.ts";
import { complaintOf, repositoryError } from "./repository-failure.ts";
import { repositoryNotes } from "./repository-notes.ts";

const repository = (name: string, state: SessionRepository["state"]): SessionRepository => ({
  resourceId: `sesrsc_${name}`,
  config: { type: "github_repository", url: `https://github.com/o/${name}`, mount_path: `/workspace/${name}` },
  state,
});

test("the model is told where each repository is, or why it is not", () => {
  const [note = ""] = repositoryNotes([
    repository("a", { type: "there", branch: "main", commit: "0".repeat(40) }),
    repository("b", { type: "there", branch: null, commit: "1".repeat(40) }),
    repository("c", { type: "there", branch: null, commit: null }),
    repository("d", { type: "waiting" }),
    repository("e", { type: "failed", problem: "repository_not_found_error" }),
  ]);
  expect(note.split("\n").slice(1, 6)).toEqual([
    "- https://github.com/o/a is cloned in /workspace/a (branch main)",
    `- https://github.com/o/b is cloned in /workspace/b (commit ${"1".repeat(40)}, detached)`,
    "- https://github.com/o/c is cloned in /workspace/c (it is empty)",
    "- https://github.com/o/d will be in /workspace/d",
    "- https://github.com/o/e is not there (repository_not_found_error); when a later turn can clone it, it will be in /workspace/e",
  ]);
  expect(repositoryNotes([])).toEqual([]);
});

test("an error names the repository, and shows what git said in one line of printable text", () => {
  const why = complaintOf("remote: \u001b[31mno\u001b[0m\r\nfatal: \u202Eover\n");
  expect(why).toBe("remote: [31mno [0m fatal: over");
  expect(repositoryError("https://github.com/o/a", "/workspace/a", { problem: "repository_clone_error", why })).toEqual({
    type: "repository_clone_error",
    repository_url: "https://github.com/o/a",
    retry_status: { type: "retrying" },
    message: `The repository https://github.com/o/a is not at /workspace/a: ${why}. The session goes on without it; the next turn tries again.`,
  });
  expect(complaintOf("x".repeat(5_000))).toHaveLength(1_001);
});
