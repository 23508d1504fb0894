import { until } from "@sandbox0/testkit";
import { afterEach, expect } from "vitest";
import { gitAt, writeRepository } from "../attack/stage/github-site.ts";
import { errorsOf, GIT_TIMEOUT_MS, githubStage, LIMITED, type Repository } from "../attack/stage/github-stage.ts";
import { attachHostileSession } from "../attack/stage/hostile-session.ts";
import { verifies } from "./fixture/verifies.ts";

/** Repositories have addresses of GitHub, so this server is in a pretend Internet that has one. */
const github = githubStage();
const { canaries, repository, sessionWith, token } = github;

afterEach(() => github.allow());

verifies(
  ["repositories.clone", "repositories.limited"],
  "a repository is in its place before the model is asked, also where the network allows no GitHub",
  async () => {
    const session = await sessionWith(repository("acme/app"));
    expect(await session.bash("cd /workspace/app && git status -sb && cat README.md && id -un && stat -c %U README.md")).toBe(
      "## main...origin/main\nhello from main\nagent\nagent",
    );
    expect(errorsOf(session)).toEqual([]);
    expect(github.lastModelRequest()).toContain("https://github.com/acme/app is cloned in /workspace/app (branch main)");
    // Its skills are announced in the very first request, too.
    expect(github.lastModelRequest()).toContain("Greets people");
    expect(await session.bash("curl -sS https://github.com/acme/app 2>&1")).toContain("only for git over https with");
    // It is made in the background, and what it asks of GitHub would be taken for another test's.
    await until(async () => (await github.mirrors()) >= 1, { timeoutMs: GIT_TIMEOUT_MS });
  },
);

verifies(["repositories.push", "repositories.token-outside"], "git fetches, pulls and pushes as it is", async () => {
  const session = await sessionWith(repository("acme/app"));
  const output = await session.bash(
    "cd /workspace/app && git config user.name a && git config user.email a@a.test && git checkout -q -b work && echo more >> README.md &&" +
      // More than git sends in one piece.
      " head -c 3000000 /dev/urandom > large && git add large && git commit -qam more && git push -q origin work && git pull -q origin main && git fetch -q && git branch -r --contains work && git rev-parse HEAD",
    GIT_TIMEOUT_MS,
  );
  const [branch, commit] = output.split("\n").map((line) => line.trim());
  expect(branch).toBe("origin/work");
  expect(await gitAt(github.dir(), "acme/app", "rev-parse", "work")).toBe(commit);
  expect(await session.bash("git -C /workspace/app remote -v")).toBe(
    "origin\thttps://github.com/acme/app (fetch)\norigin\thttps://github.com/acme/app (push)",
  );
  const clones = ["https://github.com/acme/app", "https://github.com/acme/app.git"].map(
    (from, index) => `git clone -q ${from} /tmp/clone${index} && cat /tmp/clone${index}/README.md`,
  );
  expect(await session.bash(clones.join(" && "), GIT_TIMEOUT_MS)).toBe("hello from main\nhello from main");
  expect(await session.bash("cat /workspace/app/.git/config; env; git -C /workspace/app config --list")).not.toContain(
    token.write,
  );
});

verifies("repositories.checkout", "a branch, a commit, another place, without a token, an empty repository", async () => {
  const commit = await gitAt(github.dir(), "acme/app", "rev-parse", "main");
  const hidden = await gitAt(github.dir(), "acme/app", "commit-tree", "-m", "on no branch", "main^{tree}");
  const { authorization_token: _, ...open } = repository("acme/public");
  const session = await sessionWith(
    repository("acme/app", { checkout: { type: "branch", name: "feature/x" }, mount_path: "/workspace/branch" }),
    repository("acme/app", { checkout: { type: "commit", sha: commit }, mount_path: "/workspace/a dir/with ' quotes" }),
    repository("acme/app", { checkout: { type: "commit", sha: hidden }, mount_path: "/workspace/hidden" }),
    open,
    { ...open, url: "https://github.com/acme/empty" },
  );
  const text = await session.bash(
    `cd /workspace && for d in branch "a dir/with ' quotes" hidden public empty; do git -C "$d" status -sb | head -n 1; cat "$d/README.md" 2>&1; git -C "$d" rev-parse HEAD 2>/dev/null; done`,
  );
  expect(errorsOf(session)).toEqual([]);
  const lines = text.split("\n");
  expect(lines.slice(0, 2)).toEqual(["## feature/x...origin/feature/x", "hello from a feature"]);
  expect(lines.slice(3, 6)).toEqual(["## HEAD (no branch)", "hello from main", commit]);
  expect(lines.slice(6, 9)).toEqual(["## HEAD (no branch)", "hello from main", hidden]);
  expect(lines.slice(9, 11)).toEqual(["## trunk...origin/trunk", "hello, everybody"]);
  expect(lines[12]).toMatch(/No commits yet/);
  expect(await session.bash("cd /workspace && ls -A")).not.toContain(".part");
  expect(github.lastModelRequest()).toContain(`commit ${hidden}, detached`);
});

const FAILURES: [what: string, expected: string, params: Repository][] = [
  ["a token that nobody knows", "repository_authentication_error", repository("acme/app", { authorization_token: token.wrong })],
  ["a token that may not", "repository_forbidden_error", repository("acme/closed")],
  ["a repository that is not there", "repository_not_found_error", repository("acme/nothing")],
  [
    "one that the token does not see",
    "repository_not_found_error",
    repository("acme/other", { authorization_token: token.read }),
  ],
  ["one that has moved", "repository_not_found_error", repository("acme/moved")],
  ["no such branch", "repository_checkout_error", repository("acme/app", { checkout: { type: "branch", name: "no" } })],
  [
    "no such commit",
    "repository_checkout_error",
    repository("acme/app", { checkout: { type: "commit", sha: "0123456789".repeat(4) } }),
  ],
  ["a server that fails", "repository_clone_error", repository("acme/broken")],
];

for (const [what, expected, params] of FAILURES)
  verifies("repositories.errors", `${what} is a ${expected}, and the session goes on`, async () => {
    await github.fixture.stage.inside.forget();
    const session = await sessionWith(params);
    expect(await session.bash("ls -A /workspace; echo on")).toBe("on");
    expect(errorsOf(session)).toMatchObject([{ type: expected, repository_url: params.url, retry_status: { type: "retrying" } }]);
    expect(canaries.find(JSON.stringify(errorsOf(session)))).toEqual([]);
    expect(github.lastModelRequest()).toContain(`is not there (${expected})`);
    // A token goes to its own repository only, wherever it is sent on to.
    const { pathname } = new URL(params.url);
    const sent = (await github.requests()).filter(({ headers }) => headers.authorization !== undefined);
    expect(sent.filter(({ url }) => !url.startsWith(`${pathname}/`) && !url.startsWith(`${pathname}.git/`))).toEqual([]);
  });

verifies(
  ["repositories.retried", "repositories.rotate"],
  "a repository is there in the turn after its token was put right",
  async () => {
    const session = await sessionWith(repository("acme/app", { authorization_token: token.wrong }));
    await session.bash("true");
    await session.bash("true");
    expect(errorsOf(session).map(({ type }) => type)).toEqual(Array(2).fill("repository_authentication_error"));
    await github.rotate(session.id, token.read);
    const read = () => session.bash("cat /workspace/app/README.md");
    await until(async () => (await read()).startsWith("hello from main"), { timeoutMs: GIT_TIMEOUT_MS });
    // What may only be read is not written.
    const text = await session.bash("cd /workspace/app && git push origin HEAD:refs/heads/stolen 2>&1", GIT_TIMEOUT_MS);
    expect(text).toMatch(/403/);
    expect(await gitAt(github.dir(), "acme/app", "branch", "--list", "stolen")).toBe("");
  },
);

verifies("repositories.rotate", "a sandbox that runs hears of a new token within seconds", async () => {
  const session = await sessionWith(repository("acme/app"));
  const next = canaries.make("Next");
  await session.bash("true");
  await github.allow({ "acme/app": { tokens: { [token.read]: "read", [next]: "write" } } });
  expect(await session.bash("cd /workspace/app && git fetch 2>&1", GIT_TIMEOUT_MS)).toContain("not found");
  await github.rotate(session.id, next);
  const text = await session.bash(
    "cd /workspace/app && for n in $(seq 500); do git fetch -q 2>/dev/null && break; sleep 0.1; done; git push -q origin HEAD:refs/heads/rotated && echo pushed",
    GIT_TIMEOUT_MS,
  );
  expect(text).toBe("pushed");
});

verifies("repositories.errors", "something else at its place stays as it is", async () => {
  const session = await sessionWith(repository("acme/later", { mount_path: "/workspace/app" }));
  await session.bash("mkdir /workspace/app && echo mine > /workspace/app/file");
  await writeRepository(github.dir(), "acme/later", { main: { file: "theirs\n" } });
  await github.allow({ "acme/later": { tokens: { [token.write]: "read" } } });
  expect(await session.bash("cat /workspace/app/file")).toBe("mine");
  expect(errorsOf(session).at(-1)).toMatchObject({ type: "repository_checkout_error" });
  expect(await session.bash("rm -r /workspace/app; echo cleared")).toBe("cleared");
  expect(await session.bash("cat /workspace/app/file")).toBe("theirs");
});

verifies("repositories.cached", "the second session of a workspace gets from a mirror what it does not fetch", async () => {
  await writeRepository(github.dir(), "acme/large", { main: { "large.txt": "x".repeat(100_000) } });
  await github.allow({ "acme/large": { tokens: { [token.write]: "write" } } });
  const before = await github.mirrors();
  const first = await sessionWith(repository("acme/large"));
  await first.bash("true");
  await until(async () => (await github.mirrors()) === before + 1, { timeoutMs: GIT_TIMEOUT_MS });
  await github.fixture.stage.inside.forget();
  const second = await github.fixture.session({ networking: LIMITED, resources: [repository("acme/large")] });
  const text = await second.bash(
    "cd /workspace/large && wc -c < large.txt && git fsck --full 2>&1; git for-each-ref | grep -c sandbox0",
  );
  expect(text).toMatch(/^100000\n(?:.*\n)?0/);
  expect((await github.requests()).filter(({ body }) => body.includes("command=fetch"))).toEqual([]);
});

verifies(
  "repositories.token-outside",
  "a fork has the repository as its session left it, with the token that it had",
  async () => {
    const session = await sessionWith(repository("acme/app"));
    await session.bash("cd /workspace/app && git checkout -q -b mine && echo changed > README.md");
    const { client } = github.fixture.server;
    const fork = (await client.post(`/sandbox0/v1/sessions/${session.id}/fork`, { body: {} })) as { id: string };
    const forked = await attachHostileSession(github.fixture.stage.provider, client, fork.id);
    expect(
      await forked.bash("cd /workspace/app && git status -sb && cat README.md && git fetch -q && echo fetched", GIT_TIMEOUT_MS),
    ).toBe("## mine\n M README.md\nchanged\nfetched");
    expect(errorsOf(forked)).toEqual([]);
    expect(github.lastModelRequest()).toContain("(branch mine)");
    // Each has its own: a new one of the session is none of the fork's.
    await github.rotate(session.id, token.wrong);
    const other = await session.bash(
      "cd /workspace/app && for n in $(seq 500); do git fetch -q 2>/dev/null || break; sleep 0.1; done; git fetch 2>&1 | tail -n 1",
      GIT_TIMEOUT_MS,
    );
    expect(other).toMatch(/could not read Username|401/);
    expect(await forked.bash("cd /workspace/app && git fetch -q && echo fetched", GIT_TIMEOUT_MS)).toBe("fetched");
  },
);
