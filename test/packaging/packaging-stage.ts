import { type ChildProcess, spawn } from "node:child_process";
import { globSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { createScriptedProvider, demoScript } from "@sandbox0/testkit";
import { expect } from "vitest";

const API_KEY = "a-key-for-the-package";
const PLAIN_PROGRAM = "test/conformance/programs/plain.ts";
/** Of this process's environment: what is ours, or of the npm that has started it. */
const NOT_OF_THE_MACHINE =
  /^(npm_(?!config_(registry|cache|userconfig)$)|SANDBOX0_|ANTHROPIC_|OPENAI_|DATABASE_URL$|VITEST|NODE_(OPTIONS|ENV|PATH|CHANNEL)|INIT_CWD$)/;

interface Program {
  child: ChildProcess;
  ended: Promise<{ code: number | null; output: string }>;
  waitFor(pattern: RegExp): Promise<string>;
}

/** The machine's own programs: not the Node that npm has put into this repository. */
function machineEnvironment(): Record<string, string> {
  const kept = Object.entries(process.env).filter(([name]) => !NOT_OF_THE_MACHINE.test(name));
  const ours = resolve("node_modules");
  const path = (process.env.PATH ?? "").split(delimiter).filter((directory) => !resolve(directory).startsWith(ours));
  return { ...(Object.fromEntries(kept) as Record<string, string>), PATH: path.join(delimiter) };
}

/** A program of the machine, in `cwd`. */
export function start(command: readonly string[], cwd: string, env: Readonly<Record<string, string>> = {}): Program {
  const [file = "", ...args] = command;
  const child = spawn(file, args, { cwd, env: { ...machineEnvironment(), ...env }, stdio: ["ignore", "pipe", "pipe"] });
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
  const waitFor = (pattern: RegExp): Promise<string> =>
    new Promise((settle, reject) => {
      const look = (): void => {
        const match = pattern.exec(output);
        if (match !== null) settle(match[1] ?? "");
      };
      heard.add(look);
      look();
      ended.then(() => reject(new Error(`'${command.join(" ")}' ended before ${pattern}:\n${output}`)), reject);
    });
  return { child, ended, waitFor };
}

/** Runs `scripts/package.ts`. @returns its directory, with `package/` and the tarball; to be removed */
export async function makePackage(): Promise<{ folder: string; tarball: string }> {
  const folder = mkdtempSync(join(tmpdir(), "sandbox0-package-"));
  const { code, output } = await start([process.execPath, "scripts/package.ts", folder], ".").ended;
  expect({ code, output }).toMatchObject({ code: 0 });
  const [tarball = ""] = globSync(join(folder, "sandbox0-*.tgz"));
  return { folder, tarball };
}

/**
 * A server of the package serves the plain program of the official SDK, whose agent works in a real sandbox, its own documents
 * and the console; and drains when it is told to stop.
 * @param sandbox0 starts the package's program
 */
export async function expectToServe(sandbox0: readonly string[], folder: string): Promise<void> {
  const provider = await createScriptedProvider({ script: demoScript });
  const server = start([...sandbox0, "serve"], folder, {
    SANDBOX0_DATA_DIR: join(folder, "data"),
    SANDBOX0_PORT: "0",
    SANDBOX0_API_KEY: API_KEY,
    ANTHROPIC_BASE_URL: provider.url,
    ANTHROPIC_API_KEY: "scripted",
  });
  try {
    const url = await server.waitFor(/^sandbox0 listening on (\S+)$/m);
    const program = start([process.execPath, PLAIN_PROGRAM], ".", { PROGRAM_BASE_URL: url, PROGRAM_API_KEY: API_KEY });
    const { code, output } = await program.ended;
    expect({ code, output }).toMatchObject({ code: 0, output: expect.stringContaining("session.status_idle\nsession idle") });
    expect(output).toContain("  bash {");
    expect(output).toContain("The primes below 50 are 2, 3, 5");
    for (const path of ["/readyz", "/llms.txt", "/openapi.json", "/console/"]) {
      expect({ path, status: (await fetch(url + path)).status }).toEqual({ path, status: 200 });
    }
  } finally {
    server.child.kill("SIGTERM");
    await provider.close();
  }
  expect(await server.ended).toMatchObject({ code: 0, output: expect.stringContaining("sandbox0 draining") });
}
