import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createScriptedProvider, demoScript } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";

const README = readFileSync("README.md", "utf8");
const API_KEY = "a-key-for-the-readme";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sandbox0-readme-"));
  symlinkSync(resolve("node_modules"), join(folder, "node_modules"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The code blocks of a language, in order. */
function blocks(language: string): string[] {
  return [...README.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, "gm"))].map(([, code]) => code ?? "");
}

interface Program {
  stop(): void;
  ended: Promise<{ code: number | null; output: string }>;
  waitFor(pattern: RegExp): Promise<RegExpExecArray>;
}

function start(command: string, environment: Readonly<Record<string, string>>): Program {
  const child = spawn("sh", ["-c", `exec ${command}`], {
    cwd: folder,
    env: { HOME: folder, PATH: `${resolve("node_modules/.bin")}:/usr/bin:/bin`, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const heard = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      output += chunk;
      for (const listener of heard) listener();
    });
  }
  const ended = new Promise<{ code: number | null; output: string }>((settle, reject) => {
    child.on("error", reject);
    child.on("close", (code) => settle({ code, output }));
  });
  const waitFor = (pattern: RegExp): Promise<RegExpExecArray> =>
    new Promise((settle, reject) => {
      const look = (): void => {
        const match = pattern.exec(output);
        if (match !== null) settle(match);
      };
      heard.add(look);
      look();
      ended.then(() => reject(new Error(`'${command}' ended before ${pattern}:\n${output}`)), reject);
    });
  return { stop: () => child.kill("SIGTERM"), ended, waitFor };
}

test("the program and the commands of the README work as they stand there", async () => {
  const provider = await createScriptedProvider({ script: demoScript });
  const server = start("sandbox0 serve", {
    SANDBOX0_DATA_DIR: join(folder, "data"),
    SANDBOX0_PORT: "0",
    SANDBOX0_API_KEY: API_KEY,
    ANTHROPIC_BASE_URL: provider.url,
    ANTHROPIC_API_KEY: "scripted",
  });
  try {
    const [, url = ""] = await server.waitFor(/^sandbox0 listening on (\S+)$/m);
    const [program = ""] = blocks("ts");
    expect(program).toContain('"http://127.0.0.1:8787"');
    writeFileSync(join(folder, "hello.ts"), program.replace("http://127.0.0.1:8787", url));
    const hello = await start("node hello.ts", { SANDBOX0_API_KEY: API_KEY }).ended;
    expect(hello).toMatchObject({ code: 0 });
    expect(hello.output).toContain("> bash ");
    expect(hello.output).toContain("The primes below 50 are 2, 3, 5");

    const client = { SANDBOX0_API_KEY: API_KEY, SANDBOX0_URL: url };
    const listed = await start("sandbox0 sessions list", client).ended;
    const sessionId = /sesn_\w+/.exec(listed.output)?.[0] ?? "";
    const commands = blocks("sh")
      .join("")
      .split("\n")
      .filter((line) => line.startsWith("npx sandbox0 sessions"));
    expect(commands).toHaveLength(3);
    for (const command of commands) {
      const { code, output } = await start(command.replace("npx ", "").replace("<session id>", sessionId), client).ended;
      expect({ command, code, output }).toMatchObject({
        code: 0,
        output: expect.stringContaining(command.includes("list") ? sessionId : "session.status_idle"),
      });
    }
  } finally {
    server.stop();
    await server.ended;
    await provider.close();
  }
});

test("every environment variable of the README is read by the server or the CLI, and every target exists", () => {
  const readers = ["packages/server/src/main/config.ts", "apps/cli/src/settings.ts"];
  const config = readers.map((path) => readFileSync(path, "utf8")).join("\n");
  const table = README.slice(README.indexOf("| variable |"), README.indexOf("## What is there"));
  const variables = [...table.matchAll(/`([A-Z][A-Z0-9_]+)`/g)].map(([, name]) => name ?? "");
  expect(variables.length).toBeGreaterThan(10);
  expect(variables.filter((name) => !config.includes(name))).toEqual([]);
  const makefile = readFileSync("Makefile", "utf8");
  for (const [, target] of README.matchAll(/^make (\w+)$/gm)) expect(makefile).toMatch(new RegExp(`^${target}:`, "m"));
});
