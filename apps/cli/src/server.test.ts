import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Anthropic from "@anthropic-ai/sdk";
import { createScriptedProvider, demoScript, type ScriptedProvider, until } from "@sandbox0/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { BIN, type CommandLine, startCommandLine } from "./command-line.fixture.ts";

const API_KEY = "test-key-of-the-operator";

let root: string;
let provider: ScriptedProvider;
/** Of a server with a data directory of this file: tests that need a fresh one set their own. */
let environment: Record<string, string>;
const running: CommandLine[] = [];

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "sandbox0-cli-"));
  provider = await createScriptedProvider({ script: demoScript });
  environment = {
    SANDBOX0_DATA_DIR: join(root, "data"),
    SANDBOX0_PORT: "0",
    ANTHROPIC_BASE_URL: provider.url,
    ANTHROPIC_API_KEY: "scripted",
  };
});
afterEach(async () => {
  const left = running.splice(0);
  for (const { child } of left) child.kill("SIGTERM");
  await Promise.all(left.map(({ ended }) => ended));
});
afterAll(async () => {
  await provider.close();
  rmSync(root, { recursive: true, force: true });
});

function startServer(extra: Readonly<Record<string, string>> = {}, launch?: readonly string[]): CommandLine {
  const server = startCommandLine(["serve"], { ...environment, ...extra }, launch === undefined ? {} : { launch });
  running.push(server);
  return server;
}

async function listening(server: CommandLine): Promise<string> {
  return (await server.waitFor(/^sandbox0 listening on (http:\/\/\S+)$/m))[1] ?? "";
}

async function stop(server: CommandLine): Promise<void> {
  server.child.kill("SIGTERM");
  expect((await server.ended).code).toBe(0);
}

async function isUp(url: string): Promise<boolean> {
  return await fetch(`${url}/healthz`).then(
    ({ ok }) => ok,
    () => false,
  );
}

describe("serve", () => {
  test("makes a key at the first start, prints it once, and drains on SIGTERM", async () => {
    const first = startServer();
    const [, key = ""] = await first.waitFor(/^sandbox0 API key, shown once: (\S+)$/m);
    const url = await listening(first);
    expect((await startCommandLine(["sessions", "list", "--url", url, "--api-key", key]).ended).code).toBe(0);
    await stop(first);
    expect(await isUp(url)).toBe(false);

    const second = startServer();
    const again = await listening(second);
    expect((await startCommandLine(["sessions", "list", "--url", again, "--api-key", key]).ended).code).toBe(0);
    await stop(second);
    expect((await second.ended).stdout).not.toContain("API key");
  });

  test("options win over the environment", async () => {
    const server = startCommandLine(["serve", "--host", "127.0.0.1", "--port", "0"], { ...environment, SANDBOX0_PORT: "1" });
    running.push(server);
    expect(await isUp(await listening(server))).toBe(true);
    await stop(server);
  });

  test("a configuration that cannot work is one sentence and exit code 1", async () => {
    const { code, stderr } = await startCommandLine(["serve", "--port", "seventy"], environment).ended;
    expect(code).toBe(1);
    expect(stderr).toContain("sandbox0: The configuration cannot be used.\nSANDBOX0_PORT: must be");
    expect(stderr).not.toContain("    at ");
  });

  test("a data directory that cannot be made is said at once", async () => {
    for (const path of ["/proc/x", "/proc/x/y"]) {
      const { code, stdout, stderr } = await startCommandLine(["serve"], { ...environment, SANDBOX0_DATA_DIR: path }).ended;
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toMatch(
        new RegExp(`^sandbox0: The configuration cannot be used\\.\nSANDBOX0_DATA_DIR: ${path} cannot be made: ENOENT.*\n$`),
      );
    }
  });

  test("started by npx: SIGTERM to npx, which its shell keeps to itself, stops the server", async () => {
    const server = startServer({}, ["npx", "sandbox0"]);
    const url = await listening(server);
    server.child.kill("SIGTERM");
    await until(async () => !(await isUp(url)));
    // Its output ends when the last process that holds it has ended.
    expect((await server.ended).stderr).toContain("sandbox0 draining");
  });

  const oldNode = ["/usr/local/bin/node", "/usr/bin/node"].find((path) => existsSync(path));
  test.skipIf(oldNode === undefined)(
    "started by the machine's own Node: signals reach it, and it dies with its launcher",
    async () => {
      const polite = startServer({}, [oldNode ?? "", BIN]);
      await listening(polite);
      await stop(polite);

      const killed = startServer({}, [oldNode ?? "", BIN]);
      const url = await listening(killed);
      killed.child.kill("SIGKILL");
      await until(async () => !(await isUp(url)));
    },
  );
});

describe("client commands", () => {
  let server: CommandLine;
  let url: string;
  let client: Anthropic;
  let sessionId: string;
  const run = async (...argv: string[]) => {
    const result = await startCommandLine(argv, { SANDBOX0_URL: url, SANDBOX0_API_KEY: API_KEY }).ended;
    return { ...result, json: () => JSON.parse(result.stdout) };
  };

  beforeAll(async () => {
    server = startCommandLine(["serve"], { ...environment, SANDBOX0_API_KEY: API_KEY });
    url = await listening(server);
    client = new Anthropic({ baseURL: url, apiKey: API_KEY });
  });
  afterAll(() => stop(server));
  beforeEach(async () => {
    const { id: environmentId } = await client.beta.environments.create({ name: "cli" });
    const tools = [{ type: "agent_toolset_20260401" as const }];
    const agent = await client.beta.agents.create({ name: "Primes", model: "claude-haiku-5-5", tools });
    sessionId = (await client.beta.sessions.create({ agent: agent.id, environment_id: environmentId, title: "A title" })).id;
  });

  test("keys: what is created works, is listed without its secret, and works no more once revoked", async () => {
    const created = (await run("keys", "create", "ci", "--json")).json();
    expect(created).toMatchObject({ name: "ci", key: expect.any(String), id: expect.stringMatching(/^apikey_/) });
    const asText = await run("keys", "create", "by hand");
    expect(asText.stdout).toMatch(/^\S+\n$/);

    const list = (await run("keys", "list", "--json")).json();
    expect(list.map((key: { name: string }) => key.name)).toEqual(expect.arrayContaining(["ci", "by hand"]));
    expect(JSON.stringify(list)).not.toContain(created.key);
    expect((await run("keys", "list")).stdout).toContain("by hand");

    const withNewKey = ["sessions", "list", "--api-key", created.key];
    expect((await run(...withNewKey)).code).toBe(0);
    const line = async () => (await run("keys", "list")).stdout.split("\n").find((text) => text.includes(created.id));
    expect(await line()).not.toMatch(/Z\s.*Z/);
    expect((await run("keys", "revoke", created.id)).stdout).toBe(`revoked ${created.id}\n`);
    // When it was made, and when it was revoked.
    expect(await line()).toMatch(/Z\s+\S+Z$/);
    const refused = await run(...withNewKey);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("refuses the API key");
  });

  test("sessions: send waits for the turn, show and tail tell what happened", async () => {
    expect((await run("sessions", "list", "--limit", "1")).stdout).toMatch(
      new RegExp(`^ID .*\\n${sessionId} +idle .*Primes +A title\\n$`),
    );

    const sent = await run("sessions", "send", sessionId, "--wait", "Print", "the", "primes");
    expect(sent).toMatchObject({ code: 0, stderr: "" });
    const types = sent.stdout.split("\n").flatMap((line) => line.split(/ +/)[1] ?? []);
    expect(types).toEqual(expect.arrayContaining(["user.message", "agent.tool_use", "agent.tool_result", "agent.message"]));
    expect(types.at(-1)).toBe("session.status_idle");
    expect(sent.stdout).toContain("Done. The primes below 50 are 2, 3, 5");

    const shown = (await run("sessions", "show", sessionId, "--json")).json();
    expect(shown.session).toMatchObject({ id: sessionId, status: "idle" });
    expect((await run("sessions", "show", sessionId)).stdout).toContain("user.message                Print the primes");

    const tail = await run("sessions", "tail", sessionId, "--until-idle", "--json");
    const lines = tail.stdout.trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line).id)).toEqual(shown.events.map((event: { id: string }) => event.id));
  });

  test("sessions tail follows what comes, each event once", async () => {
    const tail = startCommandLine(["sessions", "tail", sessionId, "--json"], { SANDBOX0_URL: url, SANDBOX0_API_KEY: API_KEY });
    running.push(tail);
    for (const word of ["one", "two"]) {
      await client.beta.sessions.events.send(sessionId, {
        events: [{ type: "user.message", content: [{ type: "text", text: word }] }],
      });
      await tail.waitFor(new RegExp(`"text":"${word}"[^]*"session.status_idle"`));
    }
    await client.beta.sessions.delete(sessionId);
    const { code, stdout } = await tail.ended;
    expect(code).toBe(0);
    const events = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const deliveries = events.map((event) => `${event.id} ${event.processed_at ?? "queued"}`);
    expect(new Set(deliveries).size).toBe(deliveries.length);
    expect(events.at(-1).type).toBe("session.deleted");
  });

  test("an unknown session is the server's sentence and exit code 1", async () => {
    for (const argv of [["show"], ["tail"], ["send"]]) {
      const { code, stderr } = await run(
        "sessions",
        ...argv,
        "sesn_011111111111111111111111",
        ...(argv[0] === "send" ? ["hi"] : []),
      );
      expect(code).toBe(1);
      expect(stderr).toMatch(/^sandbox0: .*sesn_011111111111111111111111.* \(request req_\w+\)\n$/);
    }
  });
});

/** What a server notes and warns of where the machine is slow is no failure. */
function expectDone(code: number | null, stderr: string): void {
  expect(code, stderr).toBe(0);
  expect(stderr.split("\n").filter((line) => line !== "" && !/^\{"level":[34]0,/.test(line))).toEqual([]);
}

describe("demo and doctor", () => {
  test("demo runs a real session with the scripted provider, prints its events in order and exits 0", async () => {
    const { code, stdout, stderr } = await startCommandLine(["demo"], { SANDBOX0_DATA_DIR: join(root, "data") }).ended;
    expectDone(code, stderr);
    expect(stdout).toContain("the built-in scripted provider");
    const types = stdout.split("\n").flatMap((line) => /^\d\d:\d\d:\S+ +(\S+)/.exec(line)?.[1] ?? []);
    const order = ["user.message", "session.status_running", "agent.tool_use", "agent.tool_result", "agent.message"];
    expect(types.filter((type) => order.includes(type)).slice(0, 2)).toEqual(order.slice(0, 2));
    expect(types.filter((type) => type === "agent.tool_result")).toHaveLength(3);
    expect(types.at(-1)).toBe("session.status_idle");
    expect(stdout).toContain("The primes below 50 are 2, 3, 5, 7");
    expect(stdout).toMatch(/npx sandbox0 sessions show sesn_\w+/);
  });

  test.each(["claude", "codex"])("demo shows the same session on %s, with the program in the sandbox", async (harness) => {
    const data = { SANDBOX0_DATA_DIR: join(root, "data") };
    const { code, stdout, stderr } = await startCommandLine(["demo", "--harness", harness], data).ended;
    expectDone(code, stderr);
    expect(stdout).toContain(`harness   ${harness}\n`);
    const used = stdout.split("\n").flatMap((line) => /agent\.tool_use +(\w+)/.exec(line)?.[1] ?? []);
    expect(used).toEqual(["write", "bash", "read"]);
    expect(stdout).toContain("The primes below 50 are 2, 3, 5, 7");
  });

  test("demo says what failed and exits 1 when the provider refuses", async () => {
    const refusing = await createScriptedProvider({ apiKey: "the right one", script: demoScript });
    const withWrongKey = { SANDBOX0_DATA_DIR: join(root, "data"), ANTHROPIC_API_KEY: "wrong", ANTHROPIC_BASE_URL: refusing.url };
    const { code, stderr } = await startCommandLine(["demo"], withWrongKey).ended;
    await refusing.close();
    expect(code).toBe(1);
    expect(stderr).toMatch(/^sandbox0: The (turn stopped with retries_exhausted|session was terminated)/m);
  });

  test("doctor: a machine that can run the tests is fit, and it says so for people and for scripts", async () => {
    const text = await startCommandLine(["doctor"], environment).ended;
    expect(text.stdout).toContain("This machine can run sandbox0.");
    expect(text.code).toBe(0);
    const { ok, findings } = JSON.parse((await startCommandLine(["doctor", "--json"], environment).ended).stdout);
    expect(ok).toBe(true);
    const names = findings.map((finding: { name: string }) => finding.name);
    expect(names).toEqual(
      expect.arrayContaining(["node", "data directory", "postgres", "port", "egress gateway", "open files", "model provider"]),
    );
    expect(names).toEqual(expect.arrayContaining(["harness: sandpi", "harness: claude", "harness: codex"]));
    expect(text.stdout + JSON.stringify(findings)).not.toContain("scripted");
  });

  test("doctor: what is missing has a way out and exit code 1", async () => {
    const { code, stdout } = await startCommandLine(["doctor"], {
      ...environment,
      DATABASE_URL: "postgres://u:secret@127.0.0.1:9/x",
    }).ended;
    expect(code).toBe(1);
    expect(stdout).toMatch(/FAIL {2}postgres +DATABASE_URL: 127\.0\.0\.1:9\/x: .*ECONNREFUSED/);
    expect(stdout).toContain("→ Start that Postgres");
    expect(stdout).not.toContain("secret");
  });
});
