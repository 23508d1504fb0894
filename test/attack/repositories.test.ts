import { beforeAll, describe, expect, test } from "vitest";
import { byMarker, call, say, until } from "@sandbox0/testkit";
import { message, textOf } from "../conformance/fixture/test-session.ts";
import { attackFixture, requestsIn } from "./stage/attack-fixture.ts";
import { createCanaries } from "./stage/canaries.ts";
import { GITHUB, gitAt, type Repositories, writeAccess, writeRepository } from "./stage/github-site.ts";
import type { HostileOptions, HostileSession } from "./stage/hostile-session.ts";
import { connectTo, get } from "./stage/http-words.ts";
import { stagePath } from "./stage/namespace.ts";
import type { ReachedHttp } from "./stage/records.ts";
import { EVIL } from "./stage/zones.ts";

const GIT_TIMEOUT_MS = 90_000;
const canaries = createCanaries();
const TOKEN = { write: canaries.make("Write"), read: canaries.make("Read"), wrong: canaries.make("Wrong") };
const ACCESS: Repositories = {
  "acme/app": { tokens: { [TOKEN.write]: "write", [TOKEN.read]: "read" } },
  "acme/other": { tokens: { [TOKEN.write]: "write" } },
  "acme/closed": { tokens: { [TOKEN.write]: "forbidden" } },
  "acme/moved": { movedTo: "acme/other", tokens: { [TOKEN.write]: "write" } },
  "acme/broken": { status: 500, tokens: { [TOKEN.write]: "write" } },
  "acme/empty": { public: true },
  "acme/public": { public: true },
};

/** Every host of the test is GitHub but one. */
const fixture = attackFixture(
  { [GITHUB]: { addresses: ["140.82.121.4"] }, "evil.io": { addresses: [EVIL.v4] } },
  {
    async prepare({ dir }) {
      const github = stagePath(dir, "github");
      const skill = "---\nname: greet\ndescription: Greets people\n---\nSay hello.\n";
      await writeRepository(github, "acme/app", {
        main: { "README.md": "hello from main\n", ".claude/skills/greet/SKILL.md": skill },
        "feature/x": { "README.md": "hello from a feature\n" },
      });
      await writeRepository(github, "acme/other", { main: { secret: "of another repository\n" } });
      await writeRepository(github, "acme/public", { trunk: { "README.md": "hello, everybody\n" } });
      await writeRepository(github, "acme/empty", {});
      await writeAccess(github, ACCESS);
    },
  },
);

const LIMITED = { type: "limited" as const, allowed_hosts: ["evil.io"] };
const github = (): string => stagePath(fixture.stage.dir, "github");
const url = (name: string): string => `https://${GITHUB}/${name}`;
type Repository = Extract<NonNullable<HostileOptions["resources"]>[number], { type: "github_repository" }>;

const repository = (name: string, more: Partial<Repository> = {}): Repository => ({
  type: "github_repository",
  url: url(name),
  authorization_token: TOKEN.write,
  ...more,
});

const sessionWith = (...resources: Repository[]): Promise<HostileSession> => fixture.session({ networking: LIMITED, resources });

const errorsOf = (session: HostileSession): { type: string; repository_url: string | null; message: string }[] =>
  session.stream.received.flatMap((event) => (event.type === "session.error" ? [event.error as never] : []));

const githubRequests = async (): Promise<ReachedHttp[]> =>
  requestsIn(await fixture.reached()).filter(({ host }) => host === GITHUB);

/** What the last model request of the session had as its system prompt. */
const systemPrompt = (): string => JSON.stringify(fixture.stage.provider.requests.at(-1)?.body);

describe("a repository of a session whose network allows no GitHub", () => {
  let session: HostileSession;

  beforeAll(async () => {
    session = await sessionWith(repository("acme/app"));
  });

  test("is cloned before the model is asked, and the model is told so", async () => {
    expect(await session.bash("cd /workspace/app && git status -sb && cat README.md && id -un && stat -c %U README.md")).toBe(
      "## main...origin/main\nhello from main\nagent\nagent",
    );
    expect(errorsOf(session)).toEqual([]);
    expect(systemPrompt()).toContain("https://github.com/acme/app is cloned in /workspace/app (branch main)");
    expect(systemPrompt()).toContain("Greets people");
  });

  test("is fetched and pushed to, by git as it is", async () => {
    const output = await session.bash(
      "cd /workspace/app && git config user.name a && git config user.email a@a.test && git checkout -q -b work && echo more >> README.md &&" +
        " git commit -qam more && git push -q origin work && git fetch -q origin && git branch -r --contains work && git rev-parse HEAD",
      GIT_TIMEOUT_MS,
    );
    const [branch, commit] = output.split("\n").map((line) => line.trim());
    expect(branch).toBe("origin/work");
    expect(await gitAt(github(), "acme/app", "rev-parse", "work")).toBe(commit);
    expect(await session.bash("git -C /workspace/app remote -v")).toBe(
      "origin\thttps://github.com/acme/app (fetch)\norigin\thttps://github.com/acme/app (push)",
    );
  });

  test("is cloned again by the session itself, with and without .git", async () => {
    const clones = ["https://github.com/acme/app", "https://github.com/acme/app.git"].map(
      (from, index) => `git clone -q ${from} /tmp/clone${index} && cat /tmp/clone${index}/README.md`,
    );
    expect(await session.bash(clones.join(" && "), GIT_TIMEOUT_MS)).toBe("hello from main\nhello from main");
  });

  test("brings nothing else of its host: no page, no other repository, no trick with paths", async () => {
    const paths = [
      "/",
      "/acme/app",
      "/acme/app/raw/main/README.md",
      "/acme/other/info/refs?service=git-upload-pack",
      "/acme/app/../other/info/refs?service=git-upload-pack",
      "/acme/app/%2e%2e/other/info/refs?service=git-upload-pack",
      "/acme%2Fapp/info/refs?service=git-upload-pack",
      "//acme/app/info/refs?service=git-upload-pack",
      "/acme/app/info/refs?service=git-upload-pack&x",
      "/acme/app.git/info/lfs/objects/batch",
    ];
    const tries = paths.map((path) => {
      return connectTo(`${GITHUB}:443`, { tls: GITHUB }, get(path, GITHUB));
    });
    const { outcomes, reached } = await fixture.tryAll(session, tries);
    expect(requestsIn(reached)).toEqual([]);
    expect(outcomes.map(({ answers }) => answers.at(-1)?.split("\r\n")[0])).toEqual(
      paths.map(() => expect.stringMatching(/^HTTP\/1[.]1 403 /)),
    );
    expect(await session.bash("git clone -q https://github.com/acme/other /tmp/other 2>&1", GIT_TIMEOUT_MS)).toContain("403");
    await fixture.expectRefused(session, {
      try: "talk",
      to: "proxy",
      say: [get("http://github.com/acme/app/info/refs", GITHUB)],
    });
  });

  test("shows its token to its own session as little as to any other", async () => {
    await session.bash(
      "cd /workspace/app && { while [ ! -e /tmp/done ]; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ; done > /workspace/seen 2>/dev/null & } ;" +
        " for n in 1 2 3; do GIT_CURL_VERBOSE=1 GIT_TRACE_CURL=/workspace/trace$n GIT_TRACE_CURL_NO_DATA=0 GIT_TRACE_REDACT=0 git fetch --all;" +
        " GIT_TRACE_REDACT=0 GIT_TRACE_CURL=/workspace/push$n git push origin HEAD:refs/heads/n$n; done > /workspace/output 2>&1; touch /tmp/done; wait",
      GIT_TIMEOUT_MS,
    );
    await session.bash(
      "curl -sSi 'https://github.com/acme/app/info/refs?service=git-upload-pack' -o /workspace/echoed; { env; set; cat .gitconfig; } > /workspace/env 2>&1;" +
        " grep -c x-echo /workspace/echoed; cat /workspace/app/.git/config; git -C /workspace/app config --list --show-origin > /workspace/config",
    );
    expect(await session.bash("grep -ah x-echo /workspace/echoed /workspace/trace1 | head -n 1")).toContain(
      "sandbox0_hidden_repository_token",
    );
    expect(await session.bash("wc -c < /workspace/seen")).not.toBe("0");
    // The memory of every process that may be read, while git talks to its server.
    await session.bash(
      String.raw`cd /workspace/app && git fetch & perl -e 'for (1..3) { for my $maps (glob "/proc/[0-9]*/maps") { my ($pid) = $maps =~ /(\d+)/; open(my $m, "<", $maps) or next; open(my $mem, "<", "/proc/$pid/mem") or next; while (<$m>) { next unless /^([0-9a-f]+)-([0-9a-f]+) r/; my $x; sysseek($mem, hex $1, 0); print $x if sysread($mem, $x, hex($2) - hex($1)) } } }' > /workspace/memory 2>/dev/null; wait`,
      GIT_TIMEOUT_MS,
    );
    expect(canaries.find(JSON.stringify(session.stream.received))).toEqual([]);
    expect(canaries.find(JSON.stringify(fixture.stage.provider.requests.map(({ body }) => body)))).toEqual([]);
    expect(canaries.find(await fixture.stage.inside.output())).toEqual([]);
    expect(await canaries.findInFiles(fixture.stage.dataDir)).toEqual([]);
    const { client } = fixture.server;
    expect(canaries.find(JSON.stringify(await client.beta.sessions.retrieve(session.id)))).toEqual([]);
    expect(canaries.find(JSON.stringify(await client.beta.sessions.resources.list(session.id)))).toEqual([]);
  });

  test("hears of a new token within seconds, in the sandbox that runs", async () => {
    const next = canaries.make("Next");
    const before = { ...ACCESS, "acme/app": { tokens: { [TOKEN.read]: "read" as const, [next]: "write" as const } } };
    await writeAccess(github(), before);
    expect(await session.bash("cd /workspace/app && git fetch 2>&1", GIT_TIMEOUT_MS)).toContain("not found");
    const { client } = fixture.server;
    const { data } = await client.beta.sessions.resources.list(session.id);
    const [id = ""] = data.flatMap((each) => ("id" in each && each.type === "github_repository" ? [each.id] : []));
    await client.beta.sessions.resources.update(id, { session_id: session.id, authorization_token: next });
    const rotatedAt = performance.now();
    const text = await session.bash(
      "cd /workspace/app && for n in $(seq 200); do git fetch -q 2>/dev/null && break; sleep 0.1; done; git push -q origin HEAD:refs/heads/rotated && echo pushed",
      GIT_TIMEOUT_MS,
    );
    expect(text).toBe("pushed");
    console.log(`fetched and pushed with the new token ${Math.round(performance.now() - rotatedAt)} ms after it was given`);
    await writeAccess(github(), ACCESS);
  });
});

describe("what is checked out", () => {
  test("a branch, a commit, somewhere else, without a token, of an empty repository", async () => {
    const commit = await gitAt(github(), "acme/app", "rev-parse", "main");
    const hidden = await gitAt(github(), "acme/app", "commit-tree", "-m", "on no branch", "main^{tree}");
    const { authorization_token: _, ...open } = repository("acme/public");
    const session = await sessionWith(
      repository("acme/app", { checkout: { type: "branch", name: "feature/x" }, mount_path: "/workspace/branch" }),
      repository("acme/app", { checkout: { type: "commit", sha: commit }, mount_path: "/workspace/a dir/with ' quotes" }),
      repository("acme/app", { checkout: { type: "commit", sha: hidden }, mount_path: "/workspace/hidden" }),
      open,
      { ...open, url: url("acme/empty") },
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
    expect(systemPrompt()).toContain(`commit ${hidden}, detached`);
  });
});

describe("a repository that cannot be had", () => {
  const failures: [what: string, expected: string, params: Repository][] = [
    [
      "a token that nobody knows",
      "repository_authentication_error",
      repository("acme/app", { authorization_token: TOKEN.wrong }),
    ],
    ["a token that may not", "repository_forbidden_error", repository("acme/closed")],
    ["a repository that is not there", "repository_not_found_error", repository("acme/nothing")],
    [
      "one that the token does not see",
      "repository_not_found_error",
      repository("acme/other", { authorization_token: TOKEN.read }),
    ],
    ["one that has moved", "repository_not_found_error", repository("acme/moved")],
    [
      "a branch that is not there",
      "repository_checkout_error",
      repository("acme/app", { checkout: { type: "branch", name: "no" } }),
    ],
    [
      "a commit that is not there",
      "repository_checkout_error",
      repository("acme/app", { checkout: { type: "commit", sha: "0123456789".repeat(4) } }),
    ],
    ["a server that fails", "repository_clone_error", repository("acme/broken")],
  ];

  test.each(failures)("%s: %s, and the session goes on", async (_what, expected, params) => {
    await fixture.stage.inside.forget();
    const session = await sessionWith(params);
    expect(await session.bash("ls -A /workspace; echo on")).toBe("on");
    expect(errorsOf(session)).toMatchObject([{ type: expected, repository_url: params.url, retry_status: { type: "retrying" } }]);
    expect(canaries.find(JSON.stringify(errorsOf(session)))).toEqual([]);
    expect(systemPrompt()).toContain(`is not there (${expected})`);
    // A token goes to its own repository only, wherever it is sent on to.
    const sent = (await githubRequests()).filter(({ headers }) => headers.authorization !== undefined);
    const { pathname } = new URL(params.url);
    expect(
      sent.filter((request) => !request.url.startsWith(`${pathname}/`) && !request.url.startsWith(`${pathname}.git/`)),
    ).toEqual([]);
  });

  test("is there in the turn after its token was put right", async () => {
    const session = await sessionWith(repository("acme/app", { authorization_token: TOKEN.wrong }));
    await session.bash("true");
    await session.bash("true");
    expect(errorsOf(session).map(({ type }) => type)).toEqual(Array(2).fill("repository_authentication_error"));
    const { client } = fixture.server;
    const { data } = await client.beta.sessions.resources.list(session.id);
    const id = data[0] !== undefined && "id" in data[0] ? data[0].id : "";
    await client.beta.sessions.resources.update(id, { session_id: session.id, authorization_token: TOKEN.read });
    await until(async () => (await session.bash("cat /workspace/app/README.md")).startsWith("hello from main"), {
      timeoutMs: GIT_TIMEOUT_MS,
    });
    // What may only be read is not written.
    const text = await session.bash("cd /workspace/app && git push origin HEAD:refs/heads/stolen 2>&1", GIT_TIMEOUT_MS);
    expect(text).toMatch(/403/);
    expect(await gitAt(github(), "acme/app", "branch", "--list", "stolen")).toBe("");
  });

  test("because something else is at its place, which stays as it is", async () => {
    const session = await sessionWith(repository("acme/nothing", { mount_path: "/workspace/app" }));
    await session.bash("mkdir /workspace/app && echo mine > /workspace/app/file");
    await writeRepository(github(), "acme/nothing", { main: { file: "theirs\n" } });
    await writeAccess(github(), { ...ACCESS, "acme/nothing": { tokens: { [TOKEN.write]: "read" } } });
    expect(await session.bash("cat /workspace/app/file")).toBe("mine");
    expect(errorsOf(session).at(-1)).toMatchObject({ type: "repository_checkout_error" });
    expect(await session.bash("rm -r /workspace/app; echo cleared")).toBe("cleared");
    expect(await session.bash("cat /workspace/app/file")).toBe("theirs");
    await writeAccess(github(), ACCESS);
  });
});

describe("a mirror", () => {
  const MIRRORS = "ls /run/sandbox0/mirrors/*/ 2>/dev/null | grep -c pack-";
  const mirrors = (): Promise<string> =>
    fixture.stage.inside.run("sh", ["-c", `ls -d ${fixture.stage.dataDir}/sandbox/repositories/*/[0-9a-f]* | wc -l`]);

  test("saves the second session the fetch, and is shown to nobody whose token does not reach the repository", async () => {
    await writeRepository(github(), "acme/large", { main: { "large.txt": "x".repeat(100_000) } });
    await writeAccess(github(), { ...ACCESS, "acme/large": { tokens: { [TOKEN.write]: "write", [TOKEN.read]: "forbidden" } } });
    const before = Number(await mirrors());
    const first = await sessionWith(repository("acme/large"));
    expect(await first.bash(MIRRORS)).toBe("0");
    await until(async () => Number(await mirrors()) === before + 1, { timeoutMs: GIT_TIMEOUT_MS });
    await fixture.stage.inside.forget();
    const second = await sessionWith(repository("acme/large"));
    expect(
      await second.bash(`${MIRRORS}; cd /workspace/large && wc -c < large.txt; git for-each-ref | grep -c sandbox0`),
    ).toMatch(/^2\n100000\n0/);
    expect((await githubRequests()).filter(({ body }) => body.includes("command=fetch"))).toEqual([]);
    expect(await second.bash("for mirror in /run/sandbox0/mirrors/*; do touch $mirror/x; done 2>&1")).toContain("Read-only");
    const refused = await sessionWith(repository("acme/large", { authorization_token: TOKEN.read }));
    expect(await refused.bash(MIRRORS)).toBe("0");
    expect(errorsOf(refused)).toMatchObject([{ type: "repository_forbidden_error" }]);
  });

  test("of one workspace is not that of another", async () => {
    const { client } = fixture.server;
    const body = { name: "stranger", workspace: "elsewhere" };
    const { key } = (await client.post("/sandbox0/v1/api_keys", { body })) as { key: string };
    const stranger = client.withOptions({ apiKey: key });
    const before = Number(await mirrors());
    const own = await fixture.session({ networking: LIMITED, resources: [repository("acme/large")] }, stranger);
    expect(await own.bash(`${MIRRORS}; wc -c < /workspace/large/large.txt`)).toBe("0\n100000");
    await until(async () => Number(await mirrors()) === before + 1, { timeoutMs: GIT_TIMEOUT_MS });
    await writeAccess(github(), ACCESS);
  });
});

describe("a server that is killed while git clones", () => {
  test("leaves nothing that looks like a repository, and the next one clones it", async () => {
    await writeRepository(github(), "acme/slow", { main: { "README.md": "at last\n" } });
    const tokens = { [TOKEN.write]: "write" as const };
    await writeAccess(github(), { ...ACCESS, "acme/slow": { tokens, stuck: true } });
    await fixture.stage.inside.forget();
    const { client } = fixture.server;
    const environment = await client.beta.environments.create({ name: "e", config: { type: "cloud", networking: LIMITED } });
    const agent = await client.beta.agents.create({
      name: "a",
      model: "claude-haiku-5-5",
      tools: [{ type: "agent_toolset_20260401" }],
    });
    const { id } = await client.beta.sessions.create({
      agent: agent.id,
      environment_id: environment.id,
      resources: [repository("acme/slow")],
    });
    const marker = "<killed while it clones>";
    const remove = fixture.stage.provider.onRequest(
      byMarker({ [marker]: [call("bash", { command: "cd /workspace && cat slow/README.md && ls -A" }), say("Done.")] }),
    );
    await client.beta.sessions.events.send(id, { events: [message(marker)] });
    await until(async () => (await githubRequests()).some(({ body }) => body.includes("command=fetch")), {
      timeoutMs: GIT_TIMEOUT_MS,
    });
    await writeAccess(github(), { ...ACCESS, "acme/slow": { tokens } });
    await fixture.restartServer("SIGKILL");
    const events = async () => Array.fromAsync(fixture.server.client.beta.sessions.events.list(id));
    await until(async () => (await events()).some(({ type }) => type === "session.status_idle"), { timeoutMs: GIT_TIMEOUT_MS });
    const results = (await events()).filter(({ type }) => type === "agent.tool_result") as { content?: readonly object[] }[];
    expect(results.map(textOf)).toEqual(["at last\nslow"]);
    remove();
  });
});
