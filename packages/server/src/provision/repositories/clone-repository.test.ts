import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createBubblewrapDriver, createSandboxPool, type Sandbox, type SandboxPool } from "@sandbox0/sandbox";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { CheckedOut } from "../../store/session-repositories.ts";
import { type CloneOrder, cloneRepository, findClone } from "./clone-repository.ts";
import type { RepositoryFailure } from "./repository-failure.ts";
import { runScript } from "./run-script.ts";

/** In the sandbox itself: how git gets there is not what is tested here. */
const ORIGIN = "/workspace/origin.git";
const TARGET = "/workspace/target";
const never = new AbortController().signal;

let dir: string;
let pool: SandboxPool;
let sandbox: Sandbox;
let sessions = 0;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sandbox0-clone-"));
  pool = await createSandboxPool(createBubblewrapDriver({ dir }), { dir, warmCount: 0 });
});

afterAll(async () => {
  await pool.close();
  await rm(dir, { recursive: true, force: true });
});

beforeEach(async () => {
  sandbox = (await pool.claim(`sesn_${++sessions}`, null)).sandbox;
  await bash(
    `git init -q --bare -b main ${ORIGIN} && git clone -q ${ORIGIN} /tmp/work 2>/dev/null && cd /tmp/work && echo one > file &&` +
      " git -c user.name=a -c user.email=a@a.test add file && git -c user.name=a -c user.email=a@a.test commit -qm one && git push -q origin HEAD:main",
  );
});

async function bash(command: string): Promise<string> {
  const end = await runScript(sandbox, command, [], { signal: never });
  expect(end, command).toMatchObject({ code: 0 });
  return end.output.trim();
}

function clone(
  change: Partial<CloneOrder["config"]> = {},
  mirror: string | null = null,
): Promise<CheckedOut | RepositoryFailure> {
  const config: CloneOrder["config"] = { type: "github_repository", url: ORIGIN, mount_path: TARGET, ...change };
  const remote = { url: ORIGIN, host: "git.example", port: 443, path: "/a/b" };
  return cloneRepository(sandbox, { resourceId: "sesrsc_1", config, remote, mirror }, never);
}

test("is there as a whole, on its branch, and again as it is", async () => {
  const commit = await bash(`git -C ${ORIGIN} rev-parse main`);
  expect(await findClone(sandbox, TARGET, ORIGIN, never)).toBeNull();
  expect(await clone()).toEqual({ branch: "main", commit });
  expect(
    await bash(`cd ${TARGET} && git status -sb && git remote -v && git symbolic-ref refs/remotes/origin/HEAD; ls -A .. | xargs`),
  ).toBe(
    `## main...origin/main\norigin\t${ORIGIN} (fetch)\norigin\t${ORIGIN} (push)\nrefs/remotes/origin/main\norigin.git target`,
  );
  await bash(`cd ${TARGET} && git checkout -q -b mine && echo two > file`);
  expect(await clone()).toEqual({ branch: "mine", commit });
  expect(await findClone(sandbox, TARGET, ORIGIN, never)).toEqual({ branch: "mine", commit });
  expect(await bash(`cat ${TARGET}/file`)).toBe("two");
});

test("what an earlier try has left is in nobody's way", async () => {
  await bash("mkdir -p /workspace/.sesrsc_1.part/.git/objects /workspace/target && echo x > /workspace/.sesrsc_1.part/file");
  expect(await clone()).toMatchObject({ branch: "main" });
  expect(await bash("ls -A /workspace | xargs")).toBe("origin.git target");
});

test.each([
  ["a file", `echo mine > ${TARGET}`],
  ["a directory that is not empty", `mkdir ${TARGET} && touch ${TARGET}/x`],
  ["a link to a directory", `mkdir /tmp/elsewhere && ln -s /tmp/elsewhere ${TARGET}`],
  ["a link to nowhere", `ln -s /tmp/nowhere ${TARGET}`],
  ["another repository", `git init -q ${TARGET} && git -C ${TARGET} remote add origin https://git.example/other`],
])("%s at its place stays as it is", async (_what, prepare) => {
  await bash(prepare);
  const before = await bash(`stat -c '%i %Y' ${TARGET}`);
  expect(await clone()).toMatchObject({ problem: "repository_checkout_error", why: expect.stringContaining("something else") });
  expect(await bash(`stat -c '%i %Y' ${TARGET}; ls -A /tmp/elsewhere 2>/dev/null; true`)).toBe(before);
});

test.each([
  ["an option", "--upload-pack=touch /tmp/ran"],
  ["an option of a letter", "-x"],
  ["a path", "../../heads/main"],
  ["an expression", "main~0"],
  ["two lines", "main\nmain"],
  ["a remote one", "origin/main"],
  ["nothing like it", "no-such-branch"],
])("a branch that is %s is none", async (_what, name) => {
  expect(await clone({ checkout: { type: "branch", name } })).toMatchObject({ problem: "repository_checkout_error" });
  expect(await bash("ls -A /workspace | xargs; ls /tmp/ran 2>/dev/null; true")).toBe("origin.git");
});

test("a default branch with the name of an option is not checked out", async () => {
  await bash(`cd ${ORIGIN} && git update-ref refs/heads/--detach main && git symbolic-ref HEAD refs/heads/--detach`);
  expect(await clone()).toMatchObject({ problem: "repository_checkout_error" });
});

test("a server whose HEAD is a commit has that checked out", async () => {
  const commit = await bash(`cd ${ORIGIN} && git rev-parse main && git update-ref --no-deref HEAD main`);
  expect(await clone()).toEqual({ branch: null, commit });
});

test("no repository there is a clone that failed, with what git said", async () => {
  await bash(`rm -rf ${ORIGIN}`);
  expect(await clone()).toMatchObject({
    problem: "repository_clone_error",
    why: expect.stringContaining("does not appear to be"),
  });
  expect(await bash("ls -A /workspace | xargs")).toBe("");
});

test("of a mirror comes what it has, whatever it has", async () => {
  const mirror = "/workspace/mirror";
  const commit = await bash(
    `mkdir ${mirror} && cd ${ORIGIN} && git repack -adq && cp objects/pack/*.pack objects/pack/*.idx ${mirror} &&` +
      ` { git rev-parse main; echo 'delete refs/heads/main'; echo '$(touch /tmp/ran)'; } > ${mirror}/refs; git rev-parse main`,
  );
  expect(await clone({}, mirror)).toEqual({ branch: "main", commit });
  expect(
    await bash(
      `cd ${TARGET} && git fsck --full && git for-each-ref --format='%(refname)' | xargs; ls /tmp/ran 2>/dev/null; true`,
    ),
  ).toBe("refs/heads/main refs/remotes/origin/HEAD refs/remotes/origin/main");
  await bash(`rm -rf ${TARGET} && chmod u+w ${mirror}/*.pack && truncate -s 40 ${mirror}/*.pack`);
  expect(await clone({}, mirror)).toMatchObject({ problem: "repository_clone_error" });
  expect(await clone()).toEqual({ branch: "main", commit });
});
