import { Worker } from "node:worker_threads";

/** A page takes some milliseconds; what takes this long was made to. */
export const EXTRACT_MS = 20_000;
/** Of what one job may take, its documents' buffers included. Looked at ten times a second. */
export const EXTRACT_MEMORY_BYTES_MAX = 512 * 1024 * 1024;
const MEMORY_LOOK_MS = 100;
/** Of the threads' own objects. */
const HEAP_MB_MAX = 384;
/** At the same time; more wait. */
const WORKERS_MAX = 2;
const JOBS_WAITING_MAX = 256;
/** A thread that nobody needs is ended after this. */
const IDLE_MS = 30_000;
/** Of the text of one document. */
export const TEXT_CHARS_MAX = 8 * 1024 * 1024;

export type ExtractJob =
  | { kind: "html"; bytes: Uint8Array; charset: string; url: string; charsMax: number }
  | { kind: "pdf"; bytes: Uint8Array; charsMax: number };

export type ExtractAnswer = { ok: true; title: string | null; text: string } | { ok: false; message: string };

/**
 * Reads documents of strangers, in threads of its own: a document that was made to take for ever, or all memory, costs
 * its thread and is told as an error. Never rejects.
 */
export interface Extractor {
  extract(job: ExtractJob, signal: AbortSignal): Promise<ExtractAnswer>;
  close(): Promise<void>;
}

interface Waiting {
  job: ExtractJob;
  signal: AbortSignal;
  done: (answer: ExtractAnswer) => void;
}

export interface ExtractorLimits {
  timeoutMs: number;
  memoryBytesMax: number;
}

/** @param limits for tests */
export function createExtractor(limits: Partial<ExtractorLimits> = {}): Extractor {
  return new Threads({ timeoutMs: EXTRACT_MS, memoryBytesMax: EXTRACT_MEMORY_BYTES_MAX, ...limits });
}

class Threads implements Extractor {
  readonly #limits: ExtractorLimits;
  readonly #idle: { worker: Worker; timer: NodeJS.Timeout }[] = [];
  readonly #busy = new Set<Worker>();
  readonly #waiting: Waiting[] = [];
  #closed = false;

  constructor(limits: ExtractorLimits) {
    this.#limits = limits;
  }

  extract(job: ExtractJob, signal: AbortSignal): Promise<ExtractAnswer> {
    if (this.#closed || this.#waiting.length >= JOBS_WAITING_MAX)
      return Promise.resolve(failure("too many documents are being read at once; try again later"));
    return new Promise((done) => {
      this.#waiting.push({ job, signal, done });
      this.#next();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const { done } of this.#waiting.splice(0)) done(failure("the server is stopping"));
    const idle = this.#idle.splice(0);
    for (const { timer } of idle) clearTimeout(timer);
    const workers = [...idle.map(({ worker }) => worker), ...this.#busy];
    await Promise.all(workers.map((worker) => worker.terminate()));
  }

  #next(): void {
    while (this.#busy.size < WORKERS_MAX) {
      const entry = this.#waiting.shift();
      if (entry === undefined) return;
      if (entry.signal.aborted) entry.done(failure("stopped"));
      else void this.#run(entry);
    }
  }

  async #run({ job, signal, done }: Waiting): Promise<void> {
    const worker = this.#take();
    this.#busy.add(worker);
    const outcome = await this.#answerOf(worker, job, signal);
    this.#busy.delete(worker);
    if (outcome.keep && !this.#closed) this.#rest(worker);
    else await worker.terminate();
    done(outcome.answer);
    this.#next();
  }

  #take(): Worker {
    const kept = this.#idle.pop();
    if (kept === undefined) return this.#start();
    clearTimeout(kept.timer);
    return kept.worker;
  }

  #start(): Worker {
    const worker = new Worker(new URL("./extract-worker.ts", import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB_MAX },
      // Nothing of the server's environment is theirs, and nothing they print is ours.
      env: {},
      execArgv: [],
      stdout: true,
      stderr: true,
    });
    worker.stdout.resume();
    worker.stderr.resume();
    worker.unref();
    // What a document left behind may still fail when its answer is out; unheard, it would end the server.
    worker.on("error", () => this.#forget(worker));
    worker.on("exit", () => this.#forget(worker));
    return worker;
  }

  #forget(worker: Worker): void {
    const index = this.#idle.findIndex((entry) => entry.worker === worker);
    if (index < 0) return;
    clearTimeout(this.#idle[index]?.timer);
    this.#idle.splice(index, 1);
  }

  #rest(worker: Worker): void {
    const timer = setTimeout(() => {
      this.#forget(worker);
      void worker.terminate();
    }, IDLE_MS);
    timer.unref();
    this.#idle.push({ worker, timer });
  }

  /** `keep`: the thread is as good as before. */
  #answerOf(worker: Worker, job: ExtractJob, signal: AbortSignal): Promise<{ answer: ExtractAnswer; keep: boolean }> {
    const { promise, resolve } = Promise.withResolvers<{ answer: ExtractAnswer; keep: boolean }>();
    const end = (message: string): void => resolve({ answer: failure(message), keep: false });
    const onAnswer = (answer: ExtractAnswer): void => resolve({ answer, keep: true });
    const onError = (error: Error & { code?: string }): void =>
      end(error.code === "ERR_WORKER_OUT_OF_MEMORY" ? TOO_LARGE : `it could not be read: ${error.message}`);
    const onExit = (): void => end("it could not be read");
    const onAbort = (): void => end("stopped");
    worker.once("message", onAnswer).once("error", onError).once("exit", onExit);
    signal.addEventListener("abort", onAbort, { once: true });
    const timer = setTimeout(
      () => end(`it takes more than ${this.#limits.timeoutMs / 1000} seconds to read`),
      this.#limits.timeoutMs,
    );
    const watch = setInterval(() => void this.#look(worker, end), MEMORY_LOOK_MS);
    worker.postMessage(job);
    return promise.finally(() => {
      clearTimeout(timer);
      clearInterval(watch);
      signal.removeEventListener("abort", onAbort);
      worker.off("message", onAnswer).off("error", onError).off("exit", onExit);
    });
  }

  /** The heap has its own limit, but buffers are not in it. */
  async #look(worker: Worker, end: (message: string) => void): Promise<void> {
    try {
      const { used_heap_size: heap, external_memory: buffers } = await worker.getHeapStatistics();
      if (heap + buffers > this.#limits.memoryBytesMax) end(TOO_LARGE);
    } catch (error) {
      // Before it has started, and after it has ended, there is nothing to look at.
      if ((error as NodeJS.ErrnoException).code !== "ERR_WORKER_NOT_RUNNING") throw error;
    }
  }
}

const TOO_LARGE = "it takes too much memory to read";

function failure(message: string): ExtractAnswer {
  return { ok: false, message };
}
