import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

/** What a bare Debian has and setup.sh uses; everything else comes from the fakes below. */
const SYSTEM_COMMANDS = ["sh", "cat", "cksum", "dirname", "uname", "ln", "mkdir", "touch", "env", "find", "sort"];

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "sandbox0-setup-"));
  mkdirSync(join(root, "scripts"));
  mkdirSync(join(root, "bin"));
  cpSync("scripts/setup.sh", join(root, "scripts/setup.sh"));
  writeFileSync(join(root, "package-lock.json"), "{}");
  for (const name of SYSTEM_COMMANDS) {
    const path = ["/usr/bin", "/bin"].map((folder) => join(folder, name)).find((candidate) => existsSync(candidate));
    symlinkSync(path ?? "", join(root, "bin", name));
  }
  fake("npm", `mkdir -p node_modules/.bin && ln -sf ${process.execPath} node_modules/.bin/node`);
  fake("id", "echo 1000");
  fake(
    "apt-get",
    `case "$*" in *bubblewrap) made=bwrap;; *socat) made=socat;; *git) made=git;; *iproute2) made=ip;; *curl) made=curl;; *jq) made=jq;; *openssl) made=openssl;; *chromium) made=chromium;; *) exit;; esac; ln -sf ${root}/bin/sh ${root}/bin/$made`,
  );
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** A command that writes down how it was called, then runs `script`. */
function fake(name: string, script: string): void {
  const path = join(root, "bin", name);
  writeFileSync(path, `#!/bin/sh\necho "${name} $*" >>${root}/calls\n${script}\n`);
  chmodSync(path, 0o755);
}

function setup(...args: string[]): { status: number | null; output: string; calls: string[] } {
  rmSync(join(root, "calls"), { force: true });
  const { status, stdout, stderr } = spawnSync("/bin/sh", ["scripts/setup.sh", ...args], {
    cwd: root,
    encoding: "utf8",
    env: { PATH: join(root, "bin") },
  });
  const calls = existsSync(join(root, "calls")) ? readFileSync(join(root, "calls"), "utf8").trim().split("\n") : [];
  return { status, output: stdout + stderr, calls: calls.filter((call) => !call.startsWith("id ")) };
}

test("as root: installs dependencies, bubblewrap, socat and git, then nothing more until the lockfile changes", () => {
  fake("id", "echo 0");
  const first = setup();
  expect(first.output).toContain("setup: ready");
  expect(first.calls).toEqual([
    "npm ci --include=dev --include=optional --no-audit --no-fund --loglevel=error",
    "apt-get update -qq",
    "apt-get install -y -qq --no-install-recommends bubblewrap",
    "apt-get update -qq",
    "apt-get install -y -qq --no-install-recommends socat",
    "apt-get update -qq",
    "apt-get install -y -qq --no-install-recommends git",
  ]);

  expect(setup()).toEqual({ status: 0, output: "setup: ready\n", calls: [] });

  appendFileSync(join(root, "package-lock.json"), "\n");
  expect(setup().calls).toEqual([expect.stringMatching(/^npm ci /)]);
});

test("for the tests: what the attack suite and the console's tests need, too", () => {
  fake("id", "echo 0");
  setup();
  expect(setup("tests").calls).toEqual([
    "apt-get update -qq",
    "apt-get install -y -qq --no-install-recommends iproute2",
    "apt-get update -qq",
    "apt-get install -y -qq --no-install-recommends curl",
    "apt-get update -qq",
    "apt-get install -y -qq --no-install-recommends jq",
    "apt-get update -qq",
    "apt-get install -y -qq --no-install-recommends openssl",
    "apt-get update -qq",
    "apt-get install -y -qq --no-install-recommends chromium",
  ]);
  expect(setup("tests").calls).toEqual([]);
});

test("as a user with sudo: installs by sudo", () => {
  fake("sudo", '[ "$2" = true ] || { shift; exec "$@"; }');
  const { status, calls } = setup();
  expect(status).toBe(0);
  expect(calls).toContain("sudo -n apt-get update -qq");
  expect(calls).toContain("sudo -n env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends bubblewrap");
});

test("as a user without sudo: one sentence that names the package", () => {
  const { status, output, calls } = setup();
  expect(status).toBe(1);
  expect(output).toContain(
    "setup: The sandbox needs the Debian package 'bubblewrap': run 'sudo apt-get install bubblewrap', then try again",
  );
  expect(calls.filter((call) => call.startsWith("apt-get"))).toEqual([]);
  // The dependencies stay: the next run only asks for the package again.
  expect(setup().calls).toEqual([]);
});

test("an install that fails is not taken for done", () => {
  fake("npm", "exit 7");
  expect(setup().status).toBe(7);
  fake("npm", `mkdir -p node_modules/.bin && ln -sf ${process.execPath} node_modules/.bin/node`);
  expect(setup().calls[0]).toMatch(/^npm ci /);
});

test("without a packaged Node, a new one of the machine does; an old one is named as the problem", () => {
  fake("npm", "mkdir -p node_modules/.bin");
  fake("bwrap", "");
  fake("socat", "");
  fake("git", "");
  fake("node", "echo 20");
  expect(setup()).toMatchObject({ status: 1, output: expect.stringContaining("install Node 24 or newer") });
  fake("node", "echo 24");
  expect(setup().status).toBe(0);
  expect(existsSync(join(root, "node_modules/.bin/node"))).toBe(true);
});

test("the console is built when its sources have changed, and not when its tests have", () => {
  fake("id", "echo 0");
  const source = join(root, "apps/console/src/main.tsx");
  mkdirSync(join(root, "apps/console/src"), { recursive: true });
  writeFileSync(join(root, "apps/console/index.html"), "<p>");
  writeFileSync(source, "1");
  fake("vite", "mkdir -p apps/console/dist && echo built >apps/console/dist/index.html");
  expect(setup().calls).toContain("vite build apps/console --logLevel warn");
  expect(setup().calls).toEqual([]);

  writeFileSync(join(root, "apps/console/src/main.test.ts"), "2");
  expect(setup().calls).toEqual([]);
  writeFileSync(source, "2");
  expect(setup().calls).toEqual(["vite build apps/console --logLevel warn"]);

  writeFileSync(source, "3");
  fake("vite", "exit 1");
  expect(setup()).toMatchObject({ status: 1, output: expect.stringContaining("the console could not be built") });
});
