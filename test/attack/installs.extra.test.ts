import { execFile } from "node:child_process";
import { lookup } from "node:dns/promises";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import Anthropic from "@anthropic-ai/sdk";
import { createScriptedProvider, type ScriptedProvider } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startServerProcess, type ServerProcess } from "../crash/server-process.ts";
import { type HostileSession, startHostileSession } from "./stage/hostile-session.ts";

/** Really downloading: from the registries that the package managers of this machine are set up for, and a public git host. */
const run = promisify(execFile);
const KEY = "key-of-the-install-tests";
const TIMEOUT_MS = 300_000;
const PUBLIC_REPOSITORY = "https://github.com/octocat/Hello-World.git";
const GIT_TIMEOUT_MS = 20_000;
let provider: ScriptedProvider;
let server: ServerProcess;
let session: HostileSession;
let dir: string;
/** As configured here; empty: not installed, or configured for nothing. */
let found: { npm: string; pip: string; apt: string[] };

const ask = (file: string, ...args: string[]): Promise<string> =>
  run(file, args, { timeout: GIT_TIMEOUT_MS }).then(
    ({ stdout }) => stdout.trim(),
    () => "",
  );

/** Lines for a `sources.list`. apt inside verifies with the keys of the machine, which sandboxes can read. */
async function aptSources(): Promise<string[]> {
  const targets = await ask("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages");
  const [first] = targets.split("\n").filter((line) => /^https?:\/\/\S+ \S+ \S+$/.test(line));
  return first === undefined ? [] : [`deb ${first}`];
}

/** Where a network hands out registries at addresses that are not of the public Internet, an operator opens those. */
async function addressesOf(text: string): Promise<string[]> {
  const urls = text.match(/https?:\/\/[^\s"']+/g) ?? [];
  const all = await Promise.all(urls.map((url) => lookup(new URL(url).hostname, { all: true }).catch(() => [])));
  return [...new Set(all.flat().map(({ address }) => address))];
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sandbox0-installs-"));
  const [npm, pip, apt] = await Promise.all([
    ask("npm", "config", "get", "registry"),
    ask("pip", "config", "list"),
    aptSources(),
  ]);
  found = { npm, pip, apt };
  provider = await createScriptedProvider();
  server = await startServerProcess({
    SANDBOX0_DATA_DIR: dir,
    SANDBOX0_API_KEY: KEY,
    SANDBOX0_SANDBOX: "bubblewrap",
    ANTHROPIC_API_KEY: "scripted",
    ANTHROPIC_BASE_URL: provider.url,
    SANDBOX0_EGRESS_ALLOW_PRIVATE: (await addressesOf([npm, pip, ...apt].join("\n"))).join(","),
  });
  const client = new Anthropic({ baseURL: server.url, apiKey: KEY, maxRetries: 0 });
  session = await startHostileSession(provider, client, {
    networking: { type: "limited", allowed_hosts: [new URL(PUBLIC_REPOSITORY).hostname], allow_package_managers: true },
  });
});

afterAll(async () => {
  server.signal("SIGTERM");
  await server.exited;
  await provider.close();
  await rm(dir, { recursive: true, force: true });
});

test("curl", async (context) => {
  context.skip(found.npm === "", "npm is not installed here: it would say where a registry is");
  expect(await session.bash(`curl -sS -o /dev/null -w '%{http_code}' ${found.npm}is-number`, TIMEOUT_MS)).toBe("200");
});

test("git clones over https from a public host", async (context) => {
  const reachable = await ask("git", "ls-remote", PUBLIC_REPOSITORY, "HEAD");
  context.skip(reachable === "", "this machine reaches no public git host; installs.test.ts clones from git's own server");
  const clone = `cd /workspace && git clone --quiet --depth 1 ${PUBLIC_REPOSITORY} cloned && git -C cloned rev-parse HEAD`;
  expect(await session.bash(clone, TIMEOUT_MS)).toBe(reachable.split("\t")[0]);
});

test("npm installs", async (context) => {
  context.skip(found.npm === "", "npm is not installed here");
  const install = "cd /workspace && npm install --no-audit --no-fund is-number@7.0.0 && node -p 'require(\"is-number\")(7)'";
  expect(await session.bash(install, TIMEOUT_MS)).toMatch(/true$/);
});

test("pip installs", async (context) => {
  const here = await session.bash("python3 -m pip --version >/dev/null 2>&1 && echo here");
  context.skip(here !== "here", "this machine has no pip in its system directories");
  const install =
    "python3 -m pip install --quiet --target /workspace/py six && PYTHONPATH=/workspace/py python3 -c 'import six; print(six.PY3)'";
  expect(await session.bash(install, TIMEOUT_MS)).toMatch(/True$/);
});

test("apt updates and downloads as the sandbox's user, and what it brought runs", async (context) => {
  context.skip(found.apt.length === 0, "apt-get is not installed here, or has no sources");
  // The system is read-only and the user not root: apt keeps its state in the workspace, and packages are unpacked there.
  const setUp = [
    "mkdir -p /workspace/apt/lists/partial /workspace/apt/cache/archives/partial && cd /workspace/apt",
    `printf '%s\\n' '${found.apt.join("\n")}' > sources.list`,
    ": > status",
  ];
  const options = [
    "Dir::Etc::SourceList=/workspace/apt/sources.list",
    "Dir::Etc::SourceParts=-",
    // `/etc/apt` is not shown to sandboxes, the distribution's keys are.
    "Dir::Etc::TrustedParts=/usr/share/keyrings/",
    "Dir::State=/workspace/apt",
    "Dir::State::status=/workspace/apt/status",
    "Dir::Cache=/workspace/apt/cache",
    "APT::Sandbox::User=",
  ];
  const apt = `apt-get -q ${options.map((option) => `-o ${option}`).join(" ")}`;
  const install = [...setUp, `${apt} update`, `${apt} download hello`, "dpkg-deb -x hello_*.deb root", "root/usr/bin/hello"];
  expect(await session.bash(`(${install.join(" && ")}) 2>&1 | tail -n 20`, TIMEOUT_MS)).toMatch(/Hello, world!$/);
});

test("what is no registry is closed", async () => {
  expect(await session.bash("curl -sS https://example.com/ 2>&1")).toMatch(/403/);
});
