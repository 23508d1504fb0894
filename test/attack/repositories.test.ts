import { byMarker, call, say, until } from "@sandbox0/testkit";
import { beforeAll, describe, expect, test } from "vitest";
import { message, textOf } from "../conformance/fixture/test-session.ts";
import { requestsIn } from "./stage/attack-fixture.ts";
import { GITHUB, writeRepository } from "./stage/github-site.ts";
import { errorsOf, GIT_TIMEOUT_MS, githubStage, LIMITED } from "./stage/github-stage.ts";
import type { HostileSession } from "./stage/hostile-session.ts";
import { connectTo, get } from "./stage/http-words.ts";

const github = githubStage();
const { canaries, fixture, repository, sessionWith, token } = github;

describe("a hostile session with a repository, whose network allows no GitHub", () => {
  let session: HostileSession;

  beforeAll(async () => {
    session = await sessionWith(repository("acme/app"));
    await session.bash("true");
    // What it speaks with GitHub is not the attack's.
    await until(async () => (await github.mirrors()) === 1, { timeoutMs: GIT_TIMEOUT_MS });
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
    const tries = paths.map((path) => connectTo(`${GITHUB}:443`, { tls: GITHUB }, get(path, GITHUB)));
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
    await fixture.stage.inside.forget();
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
    // It was sent, so that not finding it means something.
    const sent = (await github.requests()).map(({ headers }) =>
      Buffer.from(headers.authorization?.slice(6) ?? "", "base64").toString(),
    );
    expect(sent).toContain(`x-access-token:${token.write}`);
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
});

describe("a mirror", () => {
  const MIRRORS = "ls /run/sandbox0/mirrors/*/ 2>/dev/null | grep -c pack-";

  test("saves the second session the fetch, and is shown to nobody whose token does not reach the repository", async () => {
    await writeRepository(github.dir(), "acme/large", { main: { "large.txt": "x".repeat(100_000) } });
    await github.allow({ "acme/large": { tokens: { [token.write]: "write", [token.read]: "forbidden" } } });
    const before = await github.mirrors();
    const first = await sessionWith(repository("acme/large"));
    expect(await first.bash(MIRRORS)).toBe("0");
    await until(async () => (await github.mirrors()) === before + 1, { timeoutMs: GIT_TIMEOUT_MS });
    await fixture.stage.inside.forget();
    const second = await sessionWith(repository("acme/large"));
    expect(
      await second.bash(`${MIRRORS}; cd /workspace/large && wc -c < large.txt; git for-each-ref | grep -c sandbox0`),
    ).toMatch(/^2\n100000\n0/);
    expect((await github.requests()).filter(({ body }) => body.includes("command=fetch"))).toEqual([]);
    expect(await second.bash("for mirror in /run/sandbox0/mirrors/*; do touch $mirror/x; done 2>&1")).toContain("Read-only");
    const refused = await sessionWith(repository("acme/large", { authorization_token: token.read }));
    expect(await refused.bash(MIRRORS)).toBe("0");
    expect(errorsOf(refused)).toMatchObject([{ type: "repository_forbidden_error" }]);
  });

  test("of one workspace is not that of another", async () => {
    const { client } = fixture.server;
    const body = { name: "stranger", workspace: "elsewhere" };
    const { key } = (await client.post("/sandbox0/v1/api_keys", { body })) as { key: string };
    const stranger = client.withOptions({ apiKey: key });
    const before = await github.mirrors();
    const own = await fixture.session({ networking: LIMITED, resources: [repository("acme/large")] }, stranger);
    expect(await own.bash(`${MIRRORS}; wc -c < /workspace/large/large.txt`)).toBe("0\n100000");
    await until(async () => (await github.mirrors()) === before + 1, { timeoutMs: GIT_TIMEOUT_MS });
    await github.allow();
  });
});

describe("a server that is killed while git clones", () => {
  test("leaves nothing that looks like a repository, and the next one clones it", async () => {
    await writeRepository(github.dir(), "acme/slow", { main: { "README.md": "at last\n" } });
    const tokens = { [token.write]: "write" as const };
    await github.allow({ "acme/slow": { tokens, stuck: true } });
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
    await until(async () => (await github.requests()).some(({ body }) => body.includes("command=fetch")), {
      timeoutMs: GIT_TIMEOUT_MS,
    });
    await github.allow({ "acme/slow": { tokens } });
    await fixture.restartServer("SIGKILL");
    const events = async () => Array.fromAsync(fixture.server.client.beta.sessions.events.list(id));
    await until(async () => (await events()).some(({ type }) => type === "session.status_idle"), { timeoutMs: GIT_TIMEOUT_MS });
    const results = (await events()).filter(({ type }) => type === "agent.tool_result") as { content?: readonly object[] }[];
    expect(results.map(textOf)).toEqual(["at last\nslow"]);
    remove();
  });
});
