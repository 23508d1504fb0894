import { HOME_DIR, NODE_PATH, SKILLS_DIR, TEMP_DIR, TOOL_SERVER_PATH, UPLOADS_DIR, WORKSPACE_DIR } from "../layout.ts";
import { SandboxError, type Sandbox, type SandboxProcess } from "../port.ts";
import { collectStart } from "../collect-start.ts";
import { withinStartTime } from "./start-time.ts";
import { READY_ID, type AnswerMessage, type CallMessage, type CancelMessage } from "./messages.ts";

/** A longer line is not an answer of ours: the longest is a 256 KiB file with every character escaped. */
const LINE_BYTES_MAX = 4 * 1024 * 1024;
const HEAP_MIB_MAX = 512;

/** Besides the working directory. */
const ALLOWED_ROOTS = ["/mnt/session", "/mnt/memory", SKILLS_DIR, TEMP_DIR, HOME_DIR];

const COMMAND = [
  NODE_PATH,
  // On SIGUSR1 Node would open a debugger port, and whoever talks to it runs code in the server.
  "--disable-sigusr1",
  `--max-old-space-size=${HEAP_MIB_MAX}`,
  TOOL_SERVER_PATH,
  ...["--workdir", WORKSPACE_DIR],
  ...ALLOWED_ROOTS.flatMap((dir) => ["--allow", dir]),
  ...[UPLOADS_DIR, SKILLS_DIR].flatMap((dir) => ["--read-only", dir]),
];

export type FileToolOutcome =
  | { type: "answered"; text: string; isError: boolean }
  | { type: "ended"; killedBy?: "memory" | "disk" };

/**
 * The tool server in a sandbox, seen from the host. It runs apart from the bash tool's commands, in a process namespace
 * of its own: they cannot see it, signal it, or reach its stdio.
 */
export class FileTools {
  readonly #child: SandboxProcess;
  readonly #waiting = new Map<number, (outcome: FileToolOutcome) => void>();
  #lastId = READY_ID;
  #partial: Buffer[] = [];
  #partialBytes = 0;
  #isOver = false;

  /** @throws SandboxError when the server ends before it is ready */
  static async start(sandbox: Sandbox): Promise<FileTools> {
    return withinStartTime(async (signal) => {
      const child = await sandbox.exec(COMMAND, { cwd: WORKSPACE_DIR, signal, network: false });
      const complaint = collectStart(child.stderr);
      const fileTools = new FileTools(child);
      const outcome = await fileTools.#wait(READY_ID);
      if (outcome.type === "answered") return fileTools;
      throw new SandboxError("unavailable", `the tool server did not start: ${complaint()}`);
    });
  }

  private constructor(child: SandboxProcess) {
    this.#child = child;
    child.stdout.on("data", (chunk: Buffer) => this.#receive(chunk));
    void child.exited.then((exit) => {
      this.#isOver = true;
      for (const settle of this.#waiting.values()) {
        settle(exit.killedBy === undefined ? { type: "ended" } : { type: "ended", killedBy: exit.killedBy });
      }
      this.#waiting.clear();
    });
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** The answer comes even after an abort, as soon as the tool can stop. */
  call(name: string, input: Record<string, unknown>, signal: AbortSignal): Promise<FileToolOutcome> {
    if (this.#isOver) return Promise.resolve({ type: "ended" });
    const id = ++this.#lastId;
    const cancel = (): void => this.#send({ cancel: id });
    const answer = this.#wait(id);
    this.#send({ id, name, input });
    signal.addEventListener("abort", cancel, { once: true });
    return answer.finally(() => signal.removeEventListener("abort", cancel));
  }

  #wait(id: number): Promise<FileToolOutcome> {
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }

  #send(message: CallMessage | CancelMessage): void {
    this.#child.stdin.write(`${JSON.stringify(message)}\n`);
  }

  #receive(chunk: Buffer): void {
    let start = 0;
    for (let newline = chunk.indexOf(10); newline >= 0; newline = chunk.indexOf(10, start)) {
      const line = Buffer.concat([...this.#partial, chunk.subarray(start, newline)]);
      this.#partial = [];
      this.#partialBytes = 0;
      start = newline + 1;
      this.#settle(line.toString("utf8"));
    }
    this.#partial.push(chunk.subarray(start));
    this.#partialBytes += chunk.length - start;
    if (this.#partialBytes > LINE_BYTES_MAX) this.kill();
  }

  #settle(line: string): void {
    const answer = parseAnswer(line);
    const settle = answer === null ? undefined : this.#waiting.get(answer.id);
    if (answer === null || settle === undefined) {
      // Not a server of ours any more; its calls end with it.
      this.kill();
      return;
    }
    this.#waiting.delete(answer.id);
    settle({ type: "answered", text: answer.text, isError: answer.isError });
  }
}

function parseAnswer(line: string): AnswerMessage | null {
  try {
    const { id, text, isError } = JSON.parse(line) as Partial<AnswerMessage>;
    return typeof id === "number" && typeof text === "string" && typeof isError === "boolean" ? { id, text, isError } : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
