import { finished } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { HarnessSandbox } from "../port.ts";
import type { Launch } from "./launch.ts";
import { createLineSplitter } from "./line-splitter.ts";
import { type LogNote, readLogLine, writtenAtMs } from "./program-log.ts";
import { isJson, type Json, parseJson } from "./json.ts";

/** A longer line is no message: the longest hold a tool's result with its images. */
const LINE_BYTES_MAX = 64 * 1024 * 1024;
const COMPLAINT_CHARS_MAX = 500;
/** Its exit may be known before what it said of it has been read. */
const LAST_WORDS_MS = 5_000;

/** The program ended, or does not do what it should. Another one may. */
export class ProgramFailed extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ProgramFailed";
  }
}

/** The program answered a request with an error. */
export class RequestRefused extends ProgramFailed {
  constructor(method: string, message: string) {
    super(`Codex refused ${method}: ${message}`);
    this.name = "RequestRefused";
  }
}

export interface Notification {
  method: string;
  params: Json;
}

/** A request of the program that waits for an answer. */
export interface IncomingRequest extends Notification {
  id: string | number;
}

export interface Listener {
  notified(notification: Notification): void;
  requested(request: IncomingRequest): void;
  /** From the program's log, which is another stream: it may be late. */
  logged(note: LogNote, atMs: number): void;
  /** Nothing comes after it. Told once, also when the program was stopped. */
  ended(reason: ProgramFailed): void;
}

interface Waiting {
  method: string;
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
}

/**
 * `codex app-server` in the sandbox, over its stdio: JSON-RPC, one message a line. What comes from there may be anything:
 * a message that is none ends the program.
 */
export class AppServer {
  readonly #process: Awaited<ReturnType<HarnessSandbox["exec"]>>;
  readonly #answerMs: number;
  readonly #waiting = new Map<number, Waiting>();
  #listener: Listener | null = null;
  #lastId = 0;
  #complaint = "";
  #failure: ProgramFailed | null = null;

  /** @param signal stops the program, also when it has come up. @throws ProgramFailed, SandboxError */
  static async start(
    sandbox: Pick<HarnessSandbox, "exec">,
    launch: Launch,
    answerMs: number,
    signal: AbortSignal,
  ): Promise<AppServer> {
    const server = new AppServer(await sandbox.exec(launch.command, { env: launch.env, cwd: launch.cwd }), answerMs);
    signal.addEventListener("abort", () => server.stop(), { once: true });
    if (signal.aborted) server.stop();
    try {
      await server.request("initialize", launch.initialize);
    } catch (error) {
      server.stop();
      throw error;
    }
    server.#send({ method: "initialized" });
    return server;
  }

  private constructor(process: Awaited<ReturnType<HarnessSandbox["exec"]>>, answerMs: number) {
    this.#process = process;
    this.#answerMs = answerMs;
    const tooLong = (): void => this.fail(new ProgramFailed(`Codex wrote a line of over ${LINE_BYTES_MAX} bytes.`));
    process.stdout.on(
      "data",
      createLineSplitter(LINE_BYTES_MAX, (line) => this.#take(line), tooLong),
    );
    process.stderr.on(
      "data",
      createLineSplitter(LINE_BYTES_MAX, (line) => this.#takeLog(line), tooLong),
    );
    void process.exited.then(async ({ code, signal, killedBy }) => {
      // Also when it broke off: there is no more to read then.
      const heard = finished(process.stderr).catch(() => undefined);
      await Promise.race([heard, delay(LAST_WORDS_MS, undefined, { ref: false })]);
      const how = killedBy === undefined ? `with ${signal ?? `code ${code}`}` : `by the sandbox's ${killedBy} limit`;
      this.#end(new ProgramFailed(`Codex ended ${how}.${this.#complaint === "" ? "" : ` It said: ${this.#complaint.trim()}`}`));
    });
  }

  /** Why it cannot be used any more; `null` while it can. */
  get failure(): ProgramFailed | null {
    return this.#failure;
  }

  /** Whoever listens now; before that, messages are dropped. */
  listen(listener: Listener | null): void {
    this.#listener = listener;
  }

  /** @throws ProgramFailed, also when there is no answer in time */
  async request(method: string, params: object): Promise<Json> {
    if (this.#failure !== null) throw this.#failure;
    const id = ++this.#lastId;
    const answered = Promise.withResolvers<unknown>();
    this.#waiting.set(id, { method, ...answered });
    this.#send({ id, method, params });
    const late = new ProgramFailed(`Codex did not answer ${method} within ${this.#answerMs} ms.`);
    const timer = setTimeout(() => this.fail(late), this.#answerMs);
    try {
      const result = await answered.promise;
      if (typeof result === "object" && result !== null) return result as Json;
      throw new ProgramFailed(`Codex answered ${method} with ${typeof result}.`);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Answers a request of the program. */
  answer(id: IncomingRequest["id"], result: object): void {
    this.#send({ id, result });
  }

  refuse(id: IncomingRequest["id"], message: string): void {
    this.#send({ id, error: { code: METHOD_NOT_FOUND, message } });
  }

  stop(): void {
    this.fail(new ProgramFailed("Codex was stopped."));
  }

  /** Ends the program, for this reason. */
  fail(reason: ProgramFailed): void {
    this.#process.kill("SIGKILL");
    this.#end(reason);
  }

  #send(message: object): void {
    if (this.#failure === null) this.#process.stdin.write(`${JSON.stringify(message)}\n`);
  }

  #end(reason: ProgramFailed): void {
    if (this.#failure !== null) return;
    this.#failure = reason;
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
    this.#listener?.ended(reason);
    this.#listener = null;
  }

  #takeLog(line: string): boolean {
    const note = readLogLine(line);
    if (note !== null) this.#listener?.logged(note, writtenAtMs(line));
    if (!line.startsWith("{") || line.includes('"level":"ERROR"')) {
      this.#complaint = `${this.#complaint}${line}\n`.slice(-COMPLAINT_CHARS_MAX);
    }
    return this.#failure === null;
  }

  /** @returns whether the program is still one to listen to */
  #take(line: string): boolean {
    const message = parseJson(line);
    if (message === null) this.fail(new ProgramFailed(`Codex wrote what is no message: ${JSON.stringify(line.slice(0, 200))}`));
    else this.#takeMessage(message);
    return this.#failure === null;
  }

  #takeMessage(message: Json): void {
    const { id, method } = message;
    if (typeof method === "string") {
      const params = isJson(message.params) ? message.params : {};
      if (typeof id === "number" || typeof id === "string") this.#listener?.requested({ id, method, params });
      else this.#listener?.notified({ method, params });
      return;
    }
    const waiting = typeof id === "number" ? this.#waiting.get(id) : undefined;
    if (waiting === undefined) {
      this.fail(new ProgramFailed("Codex answered what nobody asked."));
      return;
    }
    this.#waiting.delete(id as number);
    const { error } = message;
    if (!isJson(error)) waiting.resolve(message.result);
    else waiting.reject(new RequestRefused(waiting.method, String(error.message)));
  }
}

/** JSON-RPC's own. */
const METHOD_NOT_FOUND = -32601;
