import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { SandboxError } from "../port.ts";
import { HELPER_ENV } from "./host.ts";
import { signalProcess } from "./process-tree.ts";
import {
  readJsonLines,
  type SpawnerMessage,
  type SpawnerSetup,
  type SpawnMessage,
  type StreamGreeting,
} from "./spawner-messages.ts";

const MAIN = fileURLToPath(new URL("./spawner-main.ts", import.meta.url));
/** The greeting is shorter; who sends more is not the spawner. */
const GREETING_BYTES_MAX = 256;
const GREETING_TIMEOUT_MS = 60_000;
/** From the request to the started process, on a machine that has too much to do. */
const SPAWN_TIMEOUT_MS = 60_000;
const NEWLINE = 10;

export type SpawnRequest = Omit<SpawnMessage, "id">;

export interface Spawned {
  pid: number;
  stdin: Writable;
  stdout: Readable;
  stderr: Readable;
  /** Resolves once, never rejects. */
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

interface Pending {
  id: number;
  streams: (Socket | undefined)[];
  pid: number | null;
  hasStarted: boolean;
  hasExited: boolean;
  resolve(spawned: Spawned): void;
  reject(error: SandboxError): void;
  exit: PromiseWithResolvers<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** Starts processes through the spawner process (`spawner-main.ts`), which it starts when needed and ends in `stop`. */
export class Spawner {
  #current: RunningSpawner | null = null;

  /** @throws SandboxError `unavailable` */
  spawn(request: SpawnRequest): Promise<Spawned> {
    return this.#running().spawn(request);
  }

  /** Starts the spawner ahead of the first use. */
  warm(): void {
    this.#running();
  }

  /** Ends the spawner; what it has started ends with it. */
  stop(): void {
    this.#current?.stop();
    this.#current = null;
  }

  #running(): RunningSpawner {
    if (this.#current === null || this.#current.isOver) this.#current = new RunningSpawner();
    return this.#current;
  }
}

class RunningSpawner {
  readonly #process: ChildProcess;
  readonly #server: Server;
  readonly #secret = randomUUID();
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #isOver = false;

  constructor() {
    const setup: SpawnerSetup = { socketName: `sandbox0-${randomUUID()}`, secret: this.#secret };
    this.#server = createServer((socket) => this.#greet(socket));
    this.#server.listen(`\0${setup.socketName}`);
    this.#process = spawn(process.execPath, ["--disable-sigusr1", MAIN], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...HELPER_ENV },
      cwd: "/",
    });
    this.#process.once("exit", () => this.#end());
    this.#process.once("error", () => this.#end());
    this.#process.stdin?.on("error", () => this.#end());
    if (this.#process.stdout !== null) readJsonLines(this.#process.stdout, (message) => this.#receive(message as SpawnerMessage));
    this.#send(setup);
    this.#holdEventLoop(false);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  spawn(request: SpawnRequest): Promise<Spawned> {
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<Spawned>();
    const state = { streams: [], pid: null, hasStarted: false, hasExited: false };
    this.#pending.set(id, { id, ...state, resolve, reject, exit: Promise.withResolvers() });
    this.#holdEventLoop(true);
    this.#send({ ...request, id });
    const timer = setTimeout(() => this.#giveUp(id), SPAWN_TIMEOUT_MS);
    return promise.finally(() => clearTimeout(timer));
  }

  stop(): void {
    this.#process.stdin?.end();
    this.#server.close();
  }

  #send(message: SpawnerSetup | SpawnMessage): void {
    this.#process.stdin?.write(`${JSON.stringify(message)}\n`);
  }

  /** A server that has nothing else to do ends, and does not end while it waits for a process. */
  #holdEventLoop(hold: boolean): void {
    const method = hold ? "ref" : "unref";
    this.#process[method]();
    for (const stream of [this.#process.stdin, this.#process.stdout] as (Socket | null)[]) stream?.[method]();
    this.#server[method]();
  }

  /** Reads the first line of a connection and gives it to the process it belongs to. */
  #greet(socket: Socket): void {
    let bytes: Buffer = Buffer.alloc(0);
    socket.setTimeout(GREETING_TIMEOUT_MS, () => socket.destroy());
    const receive = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      bytes = Buffer.concat([bytes, chunk]);
      const end = bytes.indexOf(NEWLINE);
      if (end < 0 && bytes.length <= GREETING_BYTES_MAX) return;
      socket.off("readable", receive);
      socket.setTimeout(0);
      const greeting = end < 0 ? null : this.#parseGreeting(bytes.toString("utf8", 0, end));
      const pending = greeting === null ? undefined : this.#pending.get(greeting.id);
      if (greeting === null || pending === undefined) {
        socket.destroy();
        return;
      }
      if (end + 1 < bytes.length) socket.unshift(bytes.subarray(end + 1));
      pending.streams[greeting.stream] = socket;
      this.#settle(pending);
    };
    socket.on("readable", receive);
    socket.on("error", () => socket.destroy());
  }

  #parseGreeting(line: string): StreamGreeting | null {
    try {
      const greeting = JSON.parse(line) as StreamGreeting;
      return greeting.secret === this.#secret ? greeting : null;
    } catch (error) {
      if (error instanceof SyntaxError) return null;
      throw error;
    }
  }

  #receive(message: SpawnerMessage): void {
    const pending = this.#pending.get(message.id);
    if (pending === undefined) return;
    if (message.type === "spawned") {
      pending.pid = message.pid;
      this.#settle(pending);
      return;
    }
    if (message.type === "failed") {
      this.#fail(pending, `a process could not be started: ${message.message}`);
    } else {
      pending.hasExited = true;
      pending.exit.resolve({ code: message.code, signal: message.signal });
    }
    this.#forget(pending);
  }

  /** Its streams and its pid come in any order, and its exit may be told before the last of them. */
  #settle(pending: Pending): void {
    const [stdin, stdout, stderr] = pending.streams;
    if (stdin === undefined || stdout === undefined || stderr === undefined || pending.pid === null) return;
    // One-way each: the other half is never used, and would keep the connection open.
    stdin.resume();
    stdout.end();
    stderr.end();
    pending.hasStarted = true;
    pending.resolve({ pid: pending.pid, stdin, stdout, stderr, exited: pending.exit.promise });
    this.#forget(pending);
  }

  #forget(pending: Pending): void {
    if (pending.hasStarted && pending.hasExited) this.#pending.delete(pending.id);
    if (this.#pending.size === 0) this.#holdEventLoop(false);
  }

  #giveUp(id: number): void {
    const pending = this.#pending.get(id);
    if (pending === undefined || pending.hasStarted) return;
    if (pending.pid !== null) signalProcess(pending.pid, "SIGKILL");
    this.#fail(pending, `a process did not start within ${SPAWN_TIMEOUT_MS} ms`);
    this.#forget(pending);
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#server.close();
    for (const pending of this.#pending.values()) this.#fail(pending, "the spawner process has ended");
    this.#pending.clear();
  }

  #fail(pending: Pending, message: string): void {
    pending.hasStarted = true;
    pending.hasExited = true;
    pending.reject(new SandboxError("unavailable", message));
    // Whatever had come to run ends with the spawner.
    pending.exit.resolve({ code: null, signal: "SIGKILL" });
    for (const stream of pending.streams) stream?.destroy();
  }
}
