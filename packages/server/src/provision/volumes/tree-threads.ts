import { Worker } from "node:worker_threads";
import type { Captured, CaptureJob } from "./capture-tree.ts";
import type { BlobContent, RestoreJob } from "./restore-tree.ts";
import { TooManyEntries } from "./too-many-entries.ts";
import { unlessAborted } from "./unless-aborted.ts";

/** At the same time; more wait. A turn waits for the files that are restored for it, and never for what others capture. */
const CAPTURES_MAX = 2;
const RESTORES_MAX = 2;
/** A thread that nobody needs is ended after this. */
const IDLE_MS = 30_000;
/** Of a thread's own objects: the names of a million files. */
const HEAP_MB_MAX = 1_024;

export type TreeJob = ({ type: "capture" } & CaptureJob) | ({ type: "restore" } & RestoreJob);
export type TreeResult = { type: "captured"; captured: Captured } | { type: "restored" };
export type ToWorker =
  | { type: "start"; job: TreeJob; stop: SharedArrayBuffer }
  | { type: "answer"; id: number; answer: { value: unknown } | { refused: string } };
export type FromWorker =
  | { type: "store"; id: number; content: Uint8Array<ArrayBuffer>; sha256: string }
  | { type: "fetch"; id: number; blob: number }
  | { type: "done"; result: TreeResult }
  | { type: "failed"; message: string; isTooMany: boolean };

/**
 * Walks, reads and writes the trees of volumes, in threads of their own: 100,000 files would hold up the server's own for
 * seconds. What is thrown is what `store` or `fetch` threw, what `signal` says, TooManyEntries, or an Error about the files.
 */
export interface TreeThreads {
  /** @param store keeps content, which has this hash */
  capture(job: CaptureJob, store: (content: Uint8Array, sha256: string) => Promise<void>, signal: AbortSignal): Promise<Captured>;
  /** @param fetch one of the manifest's blobs; the buffer of its content is the thread's from then on */
  restore(job: RestoreJob, fetch: (blob: number) => Promise<BlobContent>, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** Answers a thread's question. */
type Serve = (question: FromWorker) => Promise<unknown>;

export function createTreeThreads(): TreeThreads {
  const threads = new Threads();
  return {
    async capture(job, store, signal) {
      const serve: Serve = async (question) => {
        if (question.type !== "store") throw new Error("a capture asks for something else");
        await store(question.content, question.sha256);
        // Its memory goes back.
        return { content: question.content };
      };
      const result = await threads.run({ type: "capture", ...job }, serve, signal);
      if (result.type !== "captured") throw new Error("a capture ended as something else");
      return result.captured;
    },
    async restore(job, fetch, signal) {
      const serve: Serve = async (question) => question.type === "fetch" && fetch(question.blob);
      await threads.run({ type: "restore", ...job }, serve, signal);
    },
    close: () => threads.close(),
  };
}

/** First come, first served. */
class Turns {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(turnsMax: number) {
    this.#free = turnsMax;
  }

  /** @throws what the signal says: who waits no more has no turn */
  async take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#free > 0) return void this.#free--;
    const turn = Promise.withResolvers<void>();
    const leave = (): void => {
      const index = this.#waiting.indexOf(turn.resolve);
      if (index < 0) return;
      this.#waiting.splice(index, 1);
      turn.reject(signal.reason);
    };
    this.#waiting.push(turn.resolve);
    signal.addEventListener("abort", leave, { once: true });
    try {
      await turn.promise;
    } finally {
      signal.removeEventListener("abort", leave);
    }
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}

class Threads {
  readonly #idle: { worker: Worker; timer: NodeJS.Timeout }[] = [];
  readonly #busy = new Set<Worker>();
  readonly #turns = { capture: new Turns(CAPTURES_MAX), restore: new Turns(RESTORES_MAX) };
  #isClosed = false;

  async run(job: TreeJob, serve: Serve, signal: AbortSignal): Promise<TreeResult> {
    const turns = this.#turns[job.type];
    await turns.take(signal);
    try {
      if (this.#isClosed) throw new Error("the server is stopping");
      const worker = this.#idle.pop();
      if (worker !== undefined) clearTimeout(worker.timer);
      return await this.#runOn(worker?.worker ?? startWorker(), job, serve, signal);
    } finally {
      turns.give();
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const idle = this.#idle.splice(0);
    for (const { timer } of idle) clearTimeout(timer);
    await Promise.all([...idle.map(({ worker }) => worker), ...this.#busy].map((worker) => worker.terminate()));
  }

  async #runOn(worker: Worker, job: TreeJob, serve: Serve, signal: AbortSignal): Promise<TreeResult> {
    this.#busy.add(worker);
    const { promise, resolve, reject } = Promise.withResolvers<TreeResult>();
    const stop = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
    const failed = new AbortController();
    const fail = (error: unknown): void => {
      if (!failed.signal.aborted) failed.abort(error);
      Atomics.store(new Int32Array(stop), 0, 1);
    };
    // The thread ends its job when its questions are answered: one that the store does not answer is refused.
    const ask: Serve = (question) => unlessAborted(failed.signal, serve(question));
    const onMessage = (message: FromWorker): void => {
      if (message.type !== "done" && message.type !== "failed") void answer(worker, message, ask, fail);
      else if (failed.signal.aborted) reject(failed.signal.reason);
      else if (message.type === "done") resolve(message.result);
      else reject(message.isTooMany ? new TooManyEntries(message.message) : new Error(message.message));
    };
    const onAbort = (): void => fail(signal.reason);
    const onExit = (): void => reject(failed.signal.aborted ? failed.signal.reason : new Error("the thread has ended"));
    worker.on("message", onMessage).on("error", reject).on("exit", onExit);
    signal.addEventListener("abort", onAbort, { once: true });
    worker.postMessage({ type: "start", job, stop } satisfies ToWorker);
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
      worker.off("message", onMessage).off("error", reject).off("exit", onExit);
      this.#busy.delete(worker);
      this.#rest(worker);
    }
  }

  #rest(worker: Worker): void {
    // One that has died in its work has no thread any more.
    if (this.#isClosed || worker.threadId < 0) return void worker.terminate();
    const forget = (): void => {
      const index = this.#idle.findIndex((entry) => entry.worker === worker);
      if (index >= 0) this.#idle.splice(index, 1);
    };
    const timer = setTimeout(() => {
      forget();
      void worker.terminate();
    }, IDLE_MS);
    timer.unref();
    this.#idle.push({ worker, timer });
  }
}

function startWorker(): Worker {
  const worker = new Worker(new URL("./tree-worker.ts", import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB_MAX },
    // Nothing of the server's environment is theirs.
    env: {},
    execArgv: [],
  });
  worker.unref();
  // Whose job it has hears of it; unheard, it would end the server.
  worker.on("error", () => undefined);
  return worker;
}

async function answer(
  worker: Worker,
  question: Extract<FromWorker, { id: number }>,
  serve: Serve,
  fail: (error: unknown) => void,
): Promise<void> {
  const reply = (said: Extract<ToWorker, { type: "answer" }>["answer"], transfer: ArrayBuffer[] = []): void =>
    worker.postMessage({ type: "answer", id: question.id, answer: said } satisfies ToWorker, transfer);
  try {
    const value = await serve(question);
    reply({ value }, transferOf(value));
  } catch (error) {
    fail(error);
    reply({ refused: error instanceof Error ? error.message : String(error) });
  }
}

/** Content becomes the thread's own, and is not copied. */
function transferOf(value: unknown): ArrayBuffer[] {
  if (typeof value !== "object" || value === null || !("content" in value) || !(value.content instanceof Uint8Array)) return [];
  return value.content.buffer instanceof ArrayBuffer ? [value.content.buffer] : [];
}
