import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createTestDatabase, type TestDatabase } from "@sandbox0/testkit";
import { parse as parseYaml } from "yaml";
import { type DocsServer, type DocsStage, environmentOf, modelEnvironment, runServer } from "./docs-server.ts";
import { matchesOutput } from "./expected-output.ts";
import type { Block } from "./markdown-blocks.ts";
import { addressed, type DocsModule, modulesOf } from "./modules.ts";
import { runInSandbox } from "./sandbox-run.ts";

const BLOCK_MS_MAX = 300_000;
/** Exported by one block, read by the next. */
const SHELL = { state: ".shell-state", directory: ".shell-directory" };

/** The blocks of one page, run in their order in a directory of their own. */
export class PageRun {
  readonly home = mkdtempSync(join(tmpdir(), "sandbox0-docs-"));
  /** Of the blocks that were run. */
  readonly ran: Block[] = [];
  private readonly stage: DocsStage;
  private readonly page: string;
  private readonly servers: DocsServer[] = [];
  private readonly databases: TestDatabase[] = [];
  private printed: string | undefined;
  /** The block before was one of those that `python.extra.test.ts` runs. */
  private ranApart = false;
  private isNewServer = false;

  constructor(stage: DocsStage, page: string) {
    this.stage = stage;
    this.page = page;
    symlinkSync(resolve("node_modules"), join(this.home, "node_modules"));
  }

  /** @throws Error that names the block and says what it did */
  async run(blocks: readonly Block[]): Promise<void> {
    const modules = modulesOf(blocks);
    for (const block of blocks) {
      if (block.hidden && block.language === "ts") continue;
      const module = modules.find(({ lines }) => lines.includes(block.line));
      await this.runBlock(block, module).catch((cause: unknown) => {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new Error(`${block.page}:${block.line} (${[block.language, ...block.words].join(" ")}): ${why}`);
      });
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.stop()));
    await Promise.all(this.databases.map((database) => database.drop()));
    rmSync(this.home, { recursive: true, force: true });
  }

  private get server(): DocsServer {
    return this.servers.at(-1) ?? this.stage.server;
  }

  private async runBlock(block: Block, module: DocsModule | undefined): Promise<void> {
    if (block.language === "output") return this.compare(block);
    this.printed = undefined;
    this.ranApart = block.language === "python";
    if (block.file !== undefined) return this.write(block.file, module?.source ?? block.text);
    if (block.notRun !== undefined) return;
    switch (block.language) {
      case "sh":
        this.printed = await this.runShell(block);
        break;
      case "ts":
        // The module runs where its last block is.
        if (module?.runs && module.lines.at(-1) === block.line) this.printed = await this.runModule(module);
        break;
      case "json":
        JSON.parse(block.text);
        break;
      case "yaml":
        parseYaml(block.text);
        break;
      default:
        return;
    }
    this.ran.push(block);
  }

  private compare(block: Block): void {
    if (this.ranApart) return;
    if (this.printed === undefined) throw new Error("nothing was run before it");
    if (!matchesOutput(block.text, this.printed)) throw new Error(`printed something else:\n${this.printed}`);
  }

  private write(file: string, text: string): void {
    const path = join(this.directory(), file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, addressed(text, this.server.url));
  }

  private async runShell({ text, words }: Block): Promise<string> {
    const script = addressed(text, this.server.url);
    if (words.includes("serve")) return this.serve(script);
    if (words.includes("in-sandbox")) return runInSandbox(this.server, script, { fails: words.includes("fails") });
    const { state, directory } = { state: join(this.home, SHELL.state), directory: join(this.home, SHELL.directory) };
    const begin = existsSync(state) ? `. "${state}"\ncd "$(cat "${directory}")"\n${this.takeNewServer()}` : "";
    const end = `trap 'export -p > "${state}"; pwd > "${directory}"' EXIT\nset -a\n`;
    const { code, stdout, stderr } = await this.program(
      ["bash", "--norc", "--noprofile", "-eu", "-o", "pipefail", "-c", begin + end + script],
      this.home,
    );
    if ((code === 0) === words.includes("fails")) throw new Error(`ended with ${code}:\n${stdout}${stderr}`);
    return stdout;
  }

  private async serve(script: string): Promise<string> {
    const { SANDBOX0_API_KEY: _key, ...environment } = this.environment();
    const started = await runServer(script, this.directory(), {
      ...environment,
      ...modelEnvironment(this.stage.provider),
      ...(await this.database()),
    });
    this.servers.push(started);
    this.isNewServer = true;
    return started.printed;
  }

  /** The README's server has the embedded Postgres, as everybody's; the others are spared the start of one. */
  private async database(): Promise<Record<string, string>> {
    if (this.page === "README.md") return {};
    const database = await createTestDatabase();
    this.databases.push(database);
    return { DATABASE_URL: database.connectionString };
  }

  /** What earlier blocks exported was for the server before. */
  private takeNewServer(): string {
    if (!this.isNewServer) return "";
    this.isNewServer = false;
    return `export SANDBOX0_URL="${this.server.url}" SANDBOX0_API_KEY="${this.server.apiKey}"\n`;
  }

  private async runModule({ line, source }: DocsModule): Promise<string> {
    const path = join(this.home, `line-${line}.ts`);
    writeFileSync(path, addressed(source, this.server.url));
    const { code, stdout, stderr } = await this.program(["node", path], this.directory());
    if (code !== 0) throw new Error(`ended with ${code}:\n${stdout}${stderr}`);
    return stdout;
  }

  /** Where the shell of the page is. */
  private directory(): string {
    const path = join(this.home, SHELL.directory);
    return existsSync(path) ? readFileSync(path, "utf8").trim() : this.home;
  }

  private environment(): Record<string, string> {
    const { url, apiKey } = this.server;
    return { ...environmentOf(this.home), SANDBOX0_URL: url, SANDBOX0_API_KEY: apiKey };
  }

  /** Its own process group, which ends with it: no block leaves a process behind. */
  private async program([command = "", ...args]: readonly string[], cwd: string): Promise<Ended> {
    const child = spawn(command, args, { cwd, env: this.environment(), stdio: ["ignore", "pipe", "pipe"], detached: true });
    const endGroup = (): void => endProcessGroup(child.pid);
    const late = setTimeout(endGroup, BLOCK_MS_MAX);
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      stdout += chunk;
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      stderr += chunk;
    });
    child.on("exit", endGroup);
    const code = await new Promise<number | null>((settle, reject) => child.on("error", reject).on("close", settle));
    clearTimeout(late);
    return { code, stdout, stderr };
  }
}

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

function endProcessGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch (error) {
    // There is none left.
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
