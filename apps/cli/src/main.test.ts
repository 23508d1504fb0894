import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { PassThrough } from "node:stream";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { startCommandLine } from "./command-line.fixture.ts";
import { main } from "./main.ts";

describe("usage", () => {
  test("--help lists every command and exits 0", async () => {
    const { code, stdout } = await startCommandLine(["--help"]).ended;
    expect(code).toBe(0);
    const commands = stdout.split("\n").flatMap((line) => /^ {2}(\w+(?: [\w-]+)?) {2,}\S/.exec(line)?.[1] ?? []);
    expect(commands).toEqual([
      "serve",
      "demo",
      "doctor",
      "chat",
      "keys create",
      "keys list",
      "keys revoke",
      "sessions list",
      "sessions show",
      "sessions tail",
      "sessions send",
      "sessions snapshot",
      "sessions snapshots",
      "sessions fork",
      "sessions restore",
      "agents apply",
      "environments apply",
      "vaults apply",
      "files apply",
      "vaults rotate-key",
      "completion",
    ]);
    for (const command of commands) {
      // In this process: there are many.
      const output = new PassThrough({ encoding: "utf8" });
      expect(await main([...command.split(" "), "--help"], { stdout: output, stderr: output }), command).toBe(0);
      expect(String(output.read())).toContain(`Usage: sandbox0 ${command}`);
    }
  });

  test.each([
    [["fly"], "No command 'fly'"],
    [["sessions"], "'sessions' needs one more word: list, show, tail, send"],
    [["sessions", "fly"], "No command 'sessions fly'"],
    [["sessions", "show"], "Missing <session id>"],
    [["sessions", "show", "sesn_1", "sesn_2"], "Unexpected argument 'sesn_2'"],
    [["sessions", "list", "--colour"], "Unknown option '--colour'"],
    [["sessions", "list", "--limit", "0"], "--limit takes a whole number"],
    [["sessions", "list", "--status", "asleep"], "No status 'asleep'"],
    [["serve", "--port"], "argument missing"],
  ])("%j is wrong use: exit code 2 and a way out", async (argv, problem) => {
    const { code, stdout, stderr } = await startCommandLine(argv, { SANDBOX0_API_KEY: "k" }).ended;
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(problem);
    expect(stderr).toContain("--help");
  });
});

describe("a server that cannot be used", () => {
  test("no key: says where one comes from", async () => {
    const { code, stderr } = await startCommandLine(["keys", "list"]).ended;
    expect(code).toBe(1);
    expect(stderr).toContain("Set SANDBOX0_API_KEY or pass --api-key");
  });

  test("no server: says how to start one", async () => {
    const argv = ["sessions", "list", "--url", "http://127.0.0.1:9", "--api-key", "k"];
    const { code, stderr } = await startCommandLine(argv).ended;
    expect(code).toBe(1);
    expect(stderr).toBe(
      "sandbox0: No answer from http://127.0.0.1:9. Is the server running ('sandbox0 serve')? Another address: --url or SANDBOX0_URL.\n",
    );
  });

  test("a refused key: the server's own words, and what to check", async () => {
    const error = { type: "error", error: { type: "authentication_error", message: "invalid x-api-key" }, request_id: "req_1" };
    const server = createServer((_request, response) => {
      response.writeHead(401, { "content-type": "application/json", "request-id": "req_1" }).end(JSON.stringify(error));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const { code, stderr } = await startCommandLine(["sessions", "show", "sesn_1"], {
        SANDBOX0_URL: url,
        SANDBOX0_API_KEY: "no",
      }).ended;
      expect(code).toBe(1);
      expect(stderr).toContain("invalid x-api-key. Check SANDBOX0_API_KEY or --api-key. (request req_1)");
    } finally {
      server.close();
    }
  });
});

/** A Node older than 24 on this machine, if there is one: the one that npm itself runs on, often. */
const OLD_NODE = ["/usr/local/bin/node", "/usr/bin/node"].find((path) => existsSync(path));

test.skipIf(OLD_NODE === undefined)("the machine's own Node, old or new, is enough to start it", async () => {
  const bin = fileURLToPath(new URL("../bin/sandbox0.js", import.meta.url));
  const stdout = await new Promise<string>((resolve, reject) => {
    execFile(OLD_NODE ?? "", [bin, "--help"], { env: { PATH: "/usr/bin:/bin" } }, (error, out) =>
      error ? reject(error) : resolve(out),
    );
  });
  expect(stdout).toContain("Usage: sandbox0");
});
