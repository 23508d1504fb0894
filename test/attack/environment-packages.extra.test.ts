import { execFile } from "node:child_process";
import { lookup } from "node:dns/promises";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import Anthropic from "@anthropic-ai/sdk";
import { createScriptedProvider, type ScriptedProvider, until } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startServerProcess, type ServerProcess } from "../crash/server-process.ts";
import { startHostileSession } from "./stage/hostile-session.ts";

/** Really installing: from the registries that the package managers of this machine are set up for. */
const run = promisify(execFile);
const KEY = "key-of-the-package-tests";
const BUILD_TIMEOUT_MS = 20 * 60_000;
let provider: ScriptedProvider;
let server: ServerProcess;
let client: Anthropic;
let dir: string;

const ask = (file: string, ...args: string[]): Promise<string> =>
  run(file, args).then(
    ({ stdout }) => stdout.trim(),
    () => "",
  );

/** Where a network hands out registries at addresses that are not of the public Internet, an operator opens those. */
async function addressesOf(text: string): Promise<string[]> {
  const urls = text.match(/https?:\/\/[^\s"',|]+/g) ?? [];
  const all = await Promise.all(urls.map((url) => lookup(new URL(url).hostname, { all: true }).catch(() => [])));
  return [...new Set(all.flat().map(({ address }) => address))];
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sandbox0-packages-"));
  const found = await Promise.all([
    ask("npm", "config", "get", "registry"),
    ask("pip", "config", "list"),
    // What pip's index says of where files are.
    ask("pip", "download", "--no-deps", "--dest", join(dir, "wheels"), "--verbose", "six"),
    ask("apt-get", "update", "--print-uris"),
    ask("go", "env", "GOPROXY"),
  ]);
  provider = await createScriptedProvider();
  server = await startServerProcess({
    SANDBOX0_DATA_DIR: dir,
    SANDBOX0_API_KEY: KEY,
    SANDBOX0_SANDBOX: "bubblewrap",
    ANTHROPIC_API_KEY: "scripted",
    ANTHROPIC_BASE_URL: provider.url,
    SANDBOX0_EGRESS_ALLOW_PRIVATE: (await addressesOf(found.join("\n"))).join(","),
  });
  client = new Anthropic({ baseURL: server.url, apiKey: KEY, maxRetries: 0 });
});
afterAll(async () => {
  server.signal("SIGTERM");
  await server.exited;
  await provider.close();
  await rm(dir, { recursive: true, force: true });
});

async function prepare(packages: Record<string, string[]>): Promise<string> {
  const networking = { type: "limited" as const, allow_package_managers: true };
  const { id } = await client.beta.environments.create({ name: "real", config: { type: "cloud", networking, packages } });
  let build: { state?: string; log_tail?: string } = {};
  await until(
    async () => {
      build = await client.get(`/sandbox0/v1/environments/${id}/build`);
      return build.state === "ready" || build.state === "failed";
    },
    { timeoutMs: BUILD_TIMEOUT_MS, describe: () => build },
  );
  expect(build.state, build.log_tail).toBe("ready");
  return id;
}

async function runIn(environmentId: string, command: string): Promise<string> {
  const session = await startHostileSession(provider, client, { networking: { type: "unrestricted" }, environmentId });
  return session.bash(command);
}

test("apt: packages with accounts, services and files that replace others", async (context) => {
  context.skip(!existsSync("/usr/bin/apt-get"), "this machine has no apt");
  const id = await prepare({ apt: ["hello", "openssh-server", "nginx-light", "dbus-x11"] });
  expect(await runIn(id, "hello; command -v sshd nginx; getent passwd sshd www-data | wc -l")).toBe(
    "Hello, world!\n/usr/sbin/sshd\n/usr/sbin/nginx\n2",
  );
});

test("npm and pip", async (context) => {
  context.skip(!existsSync("/usr/bin/npm"), "this machine has no npm in its system directories");
  context.skip(!existsSync("/usr/lib/python3/dist-packages/pip"), "this machine has no pip in its system directories");
  const id = await prepare({ npm: ["is-number@7.0.0", "cowsay"], pip: ["attrs", "tabulate==0.9.0"] });
  const look =
    "node -p 'require(\"is-number\")(7)'; cowsay hi | grep -c hi; python3 -c 'import attr, tabulate; print(tabulate.__version__)'";
  expect(await runIn(id, look)).toBe("true\n1\n0.9.0");
});

test("go", async (context) => {
  context.skip(
    !existsSync("/usr/local/go/bin/go") && !existsSync("/usr/bin/go"),
    "this machine has no go in its system directories",
  );
  const id = await prepare({ go: ["golang.org/x/example/hello@latest"] });
  expect(await runIn(id, "hello")).toBe("Hello, world!");
});
