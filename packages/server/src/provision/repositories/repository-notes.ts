import type { SessionRepository } from "../../store/session-repositories.ts";

/** What the model is told of the session's repositories; nothing of what their servers say. */
export function repositoryNotes(repositories: readonly SessionRepository[]): string[] {
  if (repositories.length === 0) return [];
  const lines = repositories.map(({ config, state }) => `- ${config.url} ${placeOf(config.mount_path, state)}`);
  return [
    [
      "Git repositories of this session:",
      ...lines,
      "`git fetch`, `git pull` and `git push` with their remote `origin` work as they are: credentials are added on the way, " +
        "outside of this sandbox. There is no token to look for or to ask for.",
    ].join("\n"),
  ];
}

function placeOf(mountPath: string, state: SessionRepository["state"]): string {
  switch (state.type) {
    case "waiting":
      return `will be in ${mountPath}`;
    case "failed":
      return `is not there (${state.problem}); when a later turn can clone it, it will be in ${mountPath}`;
    case "there":
      return `is cloned in ${mountPath} (${headOf(state)})`;
  }
}

function headOf({ branch, commit }: { branch: string | null; commit: string | null }): string {
  if (commit === null) return "it is empty";
  return branch === null ? `commit ${commit}, detached` : `branch ${branch}`;
}
