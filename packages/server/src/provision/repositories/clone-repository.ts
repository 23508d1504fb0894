import type { Sandbox } from "@sandbox0/sandbox";
import type { RepositoryRemote } from "../../domain/repository-remote.ts";
import type { CheckedOut } from "../../store/session-repositories.ts";
import type { ResourceConfigOf } from "../../store/session-resources.ts";
import { complaintOf, type RepositoryFailure } from "./repository-failure.ts";
import { REFS_TO_COMMANDS } from "./mirror-builder.ts";
import { runScript, type ScriptEnd } from "./run-script.ts";

/** Of one repository, from an empty directory to its files. */
const CLONE_MS = 15 * 60_000;

/** Exit statuses of the script. */
const OCCUPIED = 40;
const NOT_CLONED = 41;
const NOT_CHECKED_OUT = 42;

/**
 * Clones next to the target, and moves there what is complete: whatever ends it leaves nothing that looks like a repository.
 * What a mirror has is copied and not fetched; its references are only there to say so, and go again.
 * Prints the branch and the commit that are checked out.
 */
const SCRIPT = `
target=$1 part=$2 url=$3 kind=$4 ref=$5 mirror=$6
tell() {
  git -C "$target" symbolic-ref -q --short HEAD || echo
  git -C "$target" rev-parse -q --verify HEAD || echo
  exit 0
}
refuse() { echo "$2" >&2; exit "$1"; }
switch_to() {
  [[ $1 != -* ]] && git check-ref-format "refs/heads/$1" && git show-ref -q --verify "refs/remotes/origin/$1" ||
    refuse ${NOT_CHECKED_OUT} "there is no branch $1"
  git checkout -q -B "$1" --track "refs/remotes/origin/$1" || exit ${NOT_CHECKED_OUT}
}

if [[ -e $target/.git ]]; then
  [[ $(git -C "$target" config --get remote.origin.url) == "$url" ]] || refuse ${OCCUPIED} "another repository is there"
  tell
fi
[[ $kind != none ]] || exit ${NOT_CLONED}
if [[ -e $target || -L $target ]]; then rmdir -- "$target" || exit ${OCCUPIED}; fi
rm -rf -- "$part"
trap 'cd /; rm -rf -- "$part"' EXIT
mkdir -p -- "$(dirname -- "$target")" && git -c init.defaultBranch=main init -q -- "$part" && cd -- "$part" &&
  git remote add origin "$url" || exit ${NOT_CLONED}
if [[ -n $mirror ]]; then
  cp -- "$mirror"/*.pack "$mirror"/*.idx .git/objects/pack/ &&
    sed -nE '${REFS_TO_COMMANDS}' "$mirror/refs" | git update-ref --stdin || exit ${NOT_CLONED}
fi
git fetch -q origin && head=$(git ls-remote --symref origin HEAD) || exit ${NOT_CLONED}
default=$(sed -n 's|^ref: refs/heads/\\(.*\\)\\tHEAD$|\\1|p' <<<"$head")
if [[ -n $default ]] && git show-ref -q --verify "refs/remotes/origin/$default"; then
  git symbolic-ref refs/remotes/origin/HEAD "refs/remotes/origin/$default"
fi
case $kind in
  branch) switch_to "$ref" ;;
  commit)
    git cat-file -e "$ref^{commit}" 2>/dev/null || git fetch -q origin "$ref" || refuse ${NOT_CHECKED_OUT} "there is no commit $ref"
    git checkout -q --detach "$ref" || exit ${NOT_CHECKED_OUT} ;;
  *)
    if [[ -n $default ]]; then switch_to "$default"
    elif [[ -n $head ]]; then git checkout -q --detach "\${head%%$'\\t'*}" || exit ${NOT_CHECKED_OUT}
    fi ;;
esac
git for-each-ref --format='delete %(refname)' refs/sandbox0/ | git update-ref --stdin &&
  mv -T -- "$part" "$target" || exit ${NOT_CLONED}
tell`;

export interface CloneOrder {
  resourceId: string;
  config: ResourceConfigOf<"github_repository">;
  remote: RepositoryRemote;
  /** Where the sandbox sees a mirror of it; `null`: nowhere. */
  mirror: string | null;
}

/** Whether it is there already, whoever has put it there; `null`: it is not. @throws SandboxError */
export async function findClone(sandbox: Sandbox, target: string, url: string, signal: AbortSignal): Promise<CheckedOut | null> {
  const { code, output } = await runScript(sandbox, SCRIPT, [target, "", url, "none", "", ""], { signal, network: false });
  return code === 0 ? checkedOutOf(output) : null;
}

/**
 * Has the repository at its mount path, cloned and checked out by git in the sandbox, as its user. What is there already, from
 * an earlier try or a fork, stays as it is.
 * @throws SandboxError when the sandbox is of no use
 */
export async function cloneRepository(
  sandbox: Sandbox,
  { resourceId, config, remote, mirror }: CloneOrder,
  signal: AbortSignal,
): Promise<CheckedOut | RepositoryFailure> {
  const { mount_path: target, checkout } = config;
  const part = `${target.slice(0, target.lastIndexOf("/"))}/.${resourceId}.part`;
  const ref = checkout?.type === "branch" ? checkout.name : (checkout?.sha ?? "");
  const args = [target, part, remote.url, checkout?.type ?? "default", ref, mirror ?? ""];
  const late = AbortSignal.timeout(CLONE_MS);
  const end = await runScript(sandbox, SCRIPT, args, { signal: AbortSignal.any([signal, late]) });
  return end.code === 0 ? checkedOutOf(end.output) : failureOf(end, late.aborted);
}

function checkedOutOf(output: string): CheckedOut {
  const [branch = "", commit = ""] = output.split("\n");
  // Shown to the model: a name as git allows it, and no more of it than fits a line.
  return {
    branch: /^[^\s\p{Cc}\p{Cf}]{1,255}$/u.test(branch) ? branch : null,
    commit: /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(commit) ? commit : null,
  };
}

function failureOf({ code, complaint, killedBy }: ScriptEnd, isLate: boolean): RepositoryFailure {
  const said = complaintOf(complaint);
  const behind = said === "" ? "" : `: ${said}`;
  if (code === NOT_CHECKED_OUT) return { problem: "repository_checkout_error", why: `it could not be checked out${behind}` };
  if (code === OCCUPIED) return { problem: "repository_checkout_error", why: `something else is there${behind}` };
  const problem = "repository_clone_error";
  if (isLate) return { problem, why: `git took more than ${CLONE_MS / 60_000} minutes` };
  if (killedBy !== null) return { problem, why: `the sandbox has not enough ${killedBy} for it` };
  return { problem, why: `git could not clone it${behind}` };
}
