import { parentPort } from "node:worker_threads";
import type { ExtractAnswer, ExtractJob } from "./extractor.ts";

/** The thread of an extractor: one job at a time, and what goes wrong in it ends with it. */
async function extract(job: ExtractJob): Promise<ExtractAnswer> {
  try {
    if (job.kind === "pdf") {
      const { pdfText } = await import("./pdf-text.ts");
      return { ok: true, ...(await pdfText(job.bytes, job.charsMax)) };
    }
    const { htmlText } = await import("./html-text.ts");
    return { ok: true, ...htmlText(new TextDecoder(job.charset).decode(job.bytes), job.url) };
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : String(error) };
  }
}

if (parentPort === null) throw new Error("this runs as a worker thread");
const port = parentPort;
port.on("message", (job: ExtractJob) => {
  void extract(job).then((answer) => {
    if (answer.ok) answer.text = answer.text.slice(0, job.charsMax);
    port.postMessage(answer);
  });
});
