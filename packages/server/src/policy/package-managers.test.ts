import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createPackageHosts } from "./package-hosts.ts";
import { askPackageManagers } from "./package-managers.ts";

let dir: string;
let env: Record<string, string>;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "sandbox0-packages-"));
  // Only what the tests put there is installed.
  env = { PATH: dir, HOME: dir };
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function install(name: string, script: string): Promise<void> {
  await writeFile(join(dir, name), `#!/bin/sh\n${script}\n`);
  await chmod(join(dir, name), 0o755);
}

const urls = async (): Promise<Record<string, string[]>> => {
  const found: Record<string, string[]> = {};
  for (const { manager, url } of (await Promise.all(askPackageManagers(env))).flat())
    found[manager] = [...(found[manager] ?? []), url];
  return found;
};

test("a machine without package managers has no registries", async () => {
  expect(await urls()).toEqual({});
});

test("takes what each one says of its own configuration, mirrors and scopes included", async () => {
  await install(
    "npm",
    `echo '{"registry":"https://npm.mirror.test/r/","@ours:registry":"http://ours.test:8080","other":"https://no.test"}'`,
  );
  await install(
    "pip",
    `[ "$1" = config ] && printf "global.index-url='https://pip.mirror.test/simple'\\nglobal.extra-index-url='https://extra.test/simple https://more.test/s'\\nglobal.cert='/x'\\n"`,
  );
  await install("apt-get", "echo http://apt.mirror.test/debian; echo http://apt.mirror.test/debian; echo file:/cdrom");
  await install("go", `printf 'https://go.mirror.test|https://go.second.test,direct\\nsum.mirror.test\\n'`);
  await install("gem", `printf '*** CURRENT SOURCES ***\\n\\nhttps://gem.mirror.test/\\n'`);
  await mkdir(join(dir, ".cargo"));
  await writeFile(join(dir, ".cargo/config.toml"), '[source.m]\nregistry = "sparse+https://cargo.mirror.test/index/"\n');
  expect(await urls()).toEqual({
    npm: ["https://npm.mirror.test/r/", "http://ours.test:8080"],
    pip: ["https://pip.mirror.test/simple", "https://extra.test/simple", "https://more.test/s"],
    apt: ["http://apt.mirror.test/debian"],
    go: ["https://go.mirror.test", "https://go.second.test", "https://sum.mirror.test"],
    gem: ["https://gem.mirror.test/"],
    cargo: ["https://cargo.mirror.test/index/"],
  });
});

test("asks pip's help for its default, and listens where cargo wants to go", async () => {
  await install(
    "pip",
    `[ "$1" = install ] && printf '  -i, --index-url <url>  Base URL (default\\n      https://pip.default.test/simple). This\\n'`,
  );
  await install("go", `printf 'off\\noff\\n'`);
  const ask = `printf 'CONNECT cargo.default.test:443 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' >&3; read -r answer <&3`;
  await install(
    "cargo",
    `exec /bin/bash -c "exec 3<>/dev/tcp/127.0.0.1/\${CARGO_HTTP_PROXY##*:} && ${ask.replaceAll("'", "'")}"`,
  );
  expect(await urls()).toEqual({ pip: ["https://pip.default.test/simple"], cargo: ["https://cargo.default.test"] });
});

test("adds the operator's hosts and where an index has its files; one that is away is left out and said", async () => {
  await install("pip", `[ "$1" = config ] && printf "global.index-url='https://pip.test/simple'\\n"`);
  await mkdir(join(dir, ".cargo"));
  await writeFile(join(dir, ".cargo/config.toml"), 'registry = "sparse+https://cargo.test/index/"\n');
  const asked: string[] = [];
  const problems: string[] = [];
  const links = ["files.test/1", "files.test/2", "elsewhere.test/3"].map((path) => `<a href="https://${path}#h">x</a>`);
  let isAway = true;
  const fetch = async (url: string | URL): Promise<Response> => {
    asked.push(String(url));
    if (String(url).includes("pip.test")) return new Response(links.join("\n"));
    if (isAway) throw new Error("away");
    return new Response('{"dl":"https://dl.test/crates","api":"https://cargo.test"}');
  };
  const options = {
    operatorHosts: ["*.Own.test"],
    env,
    fetch,
    onProblem: (problem: unknown) => void problems.push((problem as Error).message),
  };
  expect([...(await createPackageHosts(options)())].sort()).toEqual(["*.own.test", "cargo.test", "files.test", "pip.test"]);
  expect(problems).toEqual(["cargo: its registry cargo.test does not say where its files are: away"]);
  isAway = false;
  const hosts = createPackageHosts(options);
  const [first, second] = await Promise.all([hosts(), hosts()]);
  expect([...(first ?? [])].sort()).toEqual(["*.own.test", "cargo.test", "dl.test", "files.test", "pip.test"]);
  expect(second).toBe(first);
  expect(await hosts()).toBe(first);
  expect(asked).toHaveLength(4);
});

const SHORT = { managersMs: 50, registriesMs: 50 };

test("a registry that does not answer holds nobody up, and opens nothing that it has not named", async () => {
  await install("pip", `[ "$1" = config ] && printf "global.index-url='https://pip.test/simple'\\n"`);
  const { promise: answer, resolve: send } = Promise.withResolvers<Response>();
  const problems: unknown[] = [];
  const options = {
    operatorHosts: ["own.test"],
    env,
    fetch: () => answer,
    onProblem: (problem: unknown) => problems.push(problem),
  };
  const hosts = createPackageHosts({ ...options, firstWaits: SHORT });
  expect(["own.test", "pip.test"]).toEqual(expect.arrayContaining([...(await hosts())]));
  await expect.poll(() => hosts(), { timeout: 30_000 }).toEqual(["own.test", "pip.test"]);
  send(new Response('<a href="https://files.test/1">x</a>'));
  await expect.poll(() => hosts(), { timeout: 30_000 }).toEqual(["own.test", "pip.test", "files.test"]);
  expect(problems).toEqual([]);
});

test("package managers that never answer leave the operator's hosts", async () => {
  await install("apt-get", "exec /bin/sleep 5");
  const options = { operatorHosts: ["own.test"], env, fetch: () => Promise.reject(new Error("no")), onProblem: () => undefined };
  expect(await createPackageHosts({ ...options, firstWaits: SHORT })()).toEqual(["own.test"]);
});

test("where files are is remembered of a registry that does not answer any more", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  try {
    await install("pip", `[ "$1" = config ] && printf "global.index-url='https://pip.test/simple'\\n"`);
    let isAway = false;
    const fetch = async (): Promise<Response> => {
      if (isAway) throw new Error("away");
      return new Response('<a href="https://files.test/1">x</a>');
    };
    const problems: unknown[] = [];
    const hosts = createPackageHosts({ operatorHosts: [], env, fetch, onProblem: (problem) => problems.push(problem) });
    expect(await hosts()).toEqual(["pip.test", "files.test"]);
    isAway = true;
    vi.advanceTimersByTime(24 * 60 * 60_000);
    await expect.poll(async () => [await hosts(), problems.length], { timeout: 30_000 }).toEqual([["pip.test", "files.test"], 1]);
  } finally {
    vi.useRealTimers();
  }
});

test("a mirror's password is sent to the mirror and shown nowhere", async () => {
  await install("pip", `[ "$1" = config ] && printf "global.index-url='https://me:canary%%21@pip.test/simple'\\n"`);
  await install("npm", "echo this is no JSON");
  const asked: { url: string; authorization: unknown }[] = [];
  const problems: string[] = [];
  const fetch = async (url: string | URL, init?: RequestInit): Promise<Response> => {
    asked.push({ url: String(url), authorization: new Headers(init?.headers).get("authorization") });
    throw new TypeError(`cannot fetch ${url}`);
  };
  const hosts = createPackageHosts({
    operatorHosts: [],
    env,
    fetch,
    onProblem: (problem) => void problems.push(String(problem)),
  });
  expect(await hosts()).toEqual(["pip.test"]);
  expect(asked).toEqual([
    { url: "https://pip.test/simple/pip/", authorization: `Basic ${Buffer.from("me:canary!").toString("base64")}` },
  ]);
  expect(problems.join()).toContain("pip.test");
  expect(problems.join()).not.toContain("canary");
});
