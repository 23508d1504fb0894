import { parentPort } from "node:worker_threads";
import { captureTree } from "./capture-tree.ts";
import { type BlobContent, restoreTree } from "./restore-tree.ts";
import { TooManyEntries } from "./too-many-entries.ts";
import type { FromWorker, ToWorker, TreeJob, TreeResult } from "./tree-threads.ts";

if (parentPort === null) throw new Error("this runs as a worker thread");
const port = parentPort;
const send = (message: FromWorker, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer);

/** What this thread asks the server for, until it has answered. */
class Questions {
  readonly #open = new Map<number, PromiseWithResolvers<unknown>>();
  #last = 0;

  async ask<Answer>(question: (id: number) => FromWorker, transfer: ArrayBuffer[] = []): Promise<Answer> {
    const id = ++this.#last;
    const answered = Promise.withResolvers<unknown>();
    this.#open.set(id, answered);
    send(question(id), transfer);
    return (await answered.promise) as Answer;
  }

  answer(id: number, answer: { value: unknown } | { refused: string }): void {
    const question = this.#open.get(id);
    this.#open.delete(id);
    if ("value" in answer) question?.resolve(answer.value);
    else question?.reject(new Error(answer.refused));
  }
}

const questions = new Questions();

async function work(job: TreeJob, stop: Int32Array): Promise<TreeResult> {
  const checkStopped = (): void => {
    if (Atomics.load(stop, 0) !== 0) throw new Error("stopped");
  };
  if (job.type === "restore") {
    const fetch = (blob: number) => questions.ask<BlobContent>((id) => ({ type: "fetch", id, blob }));
    await restoreTree(job, fetch, checkStopped);
    return { type: "restored" };
  }
  const store = async (content: Uint8Array<ArrayBuffer>, sha256: string) => {
    const question = (id: number): FromWorker => ({ type: "store", id, content, sha256 });
    return (await questions.ask<{ content: Uint8Array<ArrayBuffer> }>(question, [content.buffer])).content.buffer;
  };
  return { type: "captured", captured: await captureTree(job, store, checkStopped) };
}

port.on("message", (message: ToWorker) => {
  if (message.type === "answer") return questions.answer(message.id, message.answer);
  work(message.job, new Int32Array(message.stop)).then(
    (result) => send({ type: "done", result }),
    (error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      send({ type: "failed", message, isTooMany: error instanceof TooManyEntries });
    },
  );
});
