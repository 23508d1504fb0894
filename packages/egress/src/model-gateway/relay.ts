import type { ServerResponse } from "node:http";
import { type ByteReplacer, createByteReplacer } from "../substitution/byte-replacer.ts";
import type { Meter } from "./meter.ts";
import { redaction, responseHeaders } from "./provider-headers.ts";
import type { ProviderAnswer } from "./provider-client.ts";

export interface RelayOptions {
  /** Sees the answer as the provider sent it; `null`: not metered. */
  meter: Meter | null;
  /** Taken out of headers and body. */
  secret: Buffer | null;
  /** A client that reads nothing for this long has gone. */
  silenceMs: number;
  signal: AbortSignal;
}

/** One side broke off in the middle of an answer. */
export class BrokenOff extends Error {
  constructor(side: "provider" | "client") {
    super(`the ${side} broke off`);
    this.name = "BrokenOff";
  }
}

/**
 * Passes an answer on as it comes, never more than the client takes. Rejects with `BrokenOff` when either side does; then the
 * answer has to be cut, so that nobody takes it for whole.
 */
export async function relay(answer: ProviderAnswer, res: ServerResponse, options: RelayOptions): Promise<void> {
  const { meter, secret } = options;
  const replacer: ByteReplacer | null = secret && createByteReplacer([redaction(secret)]);
  const pass = async (bytes: Buffer): Promise<void> => {
    if (bytes.length > 0 && !res.write(bytes)) await drained(res, options);
  };
  res.writeHead(answer.statusCode, responseHeaders(answer.headers, secret));
  res.flushHeaders();
  for await (const chunk of chunksOf(answer)) {
    const metered = meter ? meter.push(chunk) : chunk;
    await pass(replacer ? replacer.push(metered) : metered);
  }
  const last = meter?.end() ?? Buffer.alloc(0);
  if (replacer) await pass(Buffer.concat([replacer.push(last), replacer.end()]));
  else await pass(last);
  res.end();
}

async function* chunksOf({ body }: ProviderAnswer): AsyncGenerator<Buffer> {
  try {
    yield* body as AsyncIterable<Buffer>;
  } catch {
    throw new BrokenOff("provider");
  }
}

async function drained(res: ServerResponse, { signal, silenceMs }: RelayOptions): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const stop = (): void => reject(new BrokenOff("client"));
  const timer = setTimeout(stop, silenceMs);
  res.once("drain", resolve);
  signal.addEventListener("abort", stop, { once: true });
  try {
    if (signal.aborted) stop();
    await promise;
  } finally {
    clearTimeout(timer);
    res.off("drain", resolve);
    signal.removeEventListener("abort", stop);
  }
}
