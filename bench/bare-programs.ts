import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { findClaudeProgram, findCodexProgram } from "@sandbox0/harness";
import { SAY } from "./bench-server.ts";

type Json = Record<string, unknown>;

/** A vendor's program on this machine without us: no sandbox, no gateway, no log. */
export interface BareProgram {
  readonly pid: number;
  /** One turn that the scripted model answers with text. @returns milliseconds */
  turn(): Promise<number>;
  stop(): Promise<void>;
}

export type BareName = "claude" | "codex";

/** Starts it, up to where it takes a message. */
export async function startBare(name: BareName, model: string, providerUrl: string): Promise<BareProgram> {
  const home = await mkdtemp(join(tmpdir(), "sandbox0-bare-"));
  await mkdir(join(home, "config"));
  const start = { claude: startClaude, codex: startCodex }[name];
  const lines = await start(model, providerUrl, home);
  return {
    pid: lines.child.pid ?? 0,
    turn: lines.turn,
    async stop() {
      const ended = new Promise((resolve) => lines.child.once("exit", resolve));
      lines.child.kill("SIGKILL");
      await ended;
      await rm(home, { recursive: true, force: true });
    },
  };
}

interface Started {
  child: ChildProcess;
  turn(): Promise<number>;
}

/** A program that speaks JSON, one message a line. */
class JsonLines {
  readonly child: ChildProcess;
  private readonly waiters: {
    matches: (message: Json) => boolean;
    resolve: (message: Json) => void;
    reject: (e: Error) => void;
  }[] = [];
  private complaint = "";

  constructor(file: string, args: readonly string[], home: string, env: Record<string, string>) {
    this.child = spawn(file, args, {
      cwd: home,
      env: { PATH: process.env.PATH ?? "", HOME: home, ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
      this.complaint = (this.complaint + chunk).slice(-1000);
    });
    if (this.child.stdout === null) throw new Error("no stdout");
    createInterface({ input: this.child.stdout }).on("line", (line) => this.take(JSON.parse(line) as Json));
    this.child.once("exit", () => {
      for (const { reject } of this.waiters.splice(0)) reject(new Error(`the bare program ended: ${this.complaint}`));
    });
  }

  send(message: Json): void {
    this.child.stdin?.write(`${JSON.stringify(message)}\n`);
  }

  /** The next message that matches. */
  next(matches: (message: Json) => boolean): Promise<Json> {
    return new Promise((resolve, reject) => this.waiters.push({ matches, resolve, reject }));
  }

  private take(message: Json): void {
    const index = this.waiters.findIndex(({ matches }) => matches(message));
    if (index >= 0) this.waiters.splice(index, 1)[0]?.resolve(message);
  }
}

async function startClaude(model: string, providerUrl: string, home: string): Promise<Started> {
  const program = findClaudeProgram();
  if ("unavailable" in program) throw new Error(program.unavailable);
  const args = ["-p", "--verbose", "--model", model, "--input-format", "stream-json", "--output-format", "stream-json"];
  const quiet = { DISABLE_TELEMETRY: "1", CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1", DISABLE_AUTOUPDATER: "1" };
  const lines = new JsonLines(join(program.directory, "claude"), [...args, "--tools", ""], home, {
    ...quiet,
    CLAUDE_CONFIG_DIR: join(home, "config"),
    ANTHROPIC_BASE_URL: providerUrl,
    ANTHROPIC_API_KEY: "scripted",
  });
  return {
    child: lines.child,
    async turn() {
      const startedAt = performance.now();
      const ended = lines.next(({ type }) => type === "result");
      lines.send({ type: "user", message: { role: "user", content: SAY } });
      const result = await ended;
      if (result.is_error === true) throw new Error(`the bare claude failed: ${JSON.stringify(result)}`);
      return performance.now() - startedAt;
    },
  };
}

async function startCodex(model: string, providerUrl: string, home: string): Promise<Started> {
  const program = findCodexProgram();
  if ("unavailable" in program) throw new Error(program.unavailable);
  const settings: Record<string, string | number | boolean> = {
    model_provider: "bench",
    "model_providers.bench.name": "bench",
    "model_providers.bench.base_url": `${providerUrl}/v1`,
    "model_providers.bench.env_key": "BENCH_KEY",
    "model_providers.bench.wire_api": "responses",
    "analytics.enabled": false,
    check_for_update_on_startup: false,
    web_search: "disabled",
  };
  const args = Object.entries(settings).flatMap(([key, value]) => ["-c", `${key}=${JSON.stringify(value)}`]);
  const env = { CODEX_HOME: join(home, "config"), BENCH_KEY: "scripted" };
  const lines = new JsonLines(join(program.directory, "bin/codex"), ["app-server", ...args], home, env);
  let lastId = 0;
  const request = async (method: string, params: Json): Promise<Json> => {
    const id = ++lastId;
    const answer = lines.next((message) => message.id === id);
    lines.send({ id, method, params });
    const { result, error } = await answer;
    if (error !== undefined) throw new Error(`the bare codex refused ${method}: ${JSON.stringify(error)}`);
    return result as Json;
  };
  await request("initialize", { clientInfo: { name: "bench", title: null, version: "0" } });
  lines.send({ method: "initialized" });
  let threadId = "";
  return {
    child: lines.child,
    async turn() {
      const startedAt = performance.now();
      if (threadId === "") {
        const started = await request("thread/start", { model, cwd: home, approvalPolicy: "never", sandbox: "read-only" });
        threadId = String((started.thread as Json).id);
      }
      const ended = lines.next(({ method }) => method === "turn/completed");
      await request("turn/start", { threadId, input: [{ type: "text", text: SAY, text_elements: [] }] });
      const { turn } = (await ended).params as { turn: Json };
      if (turn.status !== "completed") throw new Error(`the bare codex failed: ${JSON.stringify(turn)}`);
      return performance.now() - startedAt;
    },
  };
}
