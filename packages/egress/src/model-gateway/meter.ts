import { createEventSplitter, dataOf, type StreamPiece } from "./event-splitter.ts";
import type { HeldBytes } from "./held-bytes.ts";
import type { Api } from "./operation.ts";
import type { Json } from "./request-body.ts";
import { NO_USAGE, readEvent, type Usage, usageOfAnswer } from "./usage.ts";

/** Counts the tokens of an answer while it passes. */
export interface Meter {
  /** What of the answer goes on now. */
  push(chunk: Buffer): Buffer;
  /** What was held back. */
  end(): Buffer;
  usage(): Usage;
}

export interface MeterOptions {
  api: Api;
  /** For what has to be whole to be read; what does not fit goes through unmetered. */
  held: HeldBytes;
  /** Leaves out the chunk that only has the usage. Then events go on whole. */
  hidesUsage: boolean;
  onFirstToken: () => void;
}

const EMPTY = Buffer.alloc(0);

/** For answers in server-sent events. */
export function createStreamMeter({ api, held, hidesUsage, onFirstToken }: MeterOptions): Meter {
  const splitter = createEventSplitter(held);
  let usage = NO_USAGE;
  let begun = false;
  /** @returns whether the piece goes on */
  const read = ({ bytes, whole }: StreamPiece): boolean => {
    // Most events are a few letters of the answer: they are parsed only until the first of them.
    if (!whole || (begun && !bytes.includes('"usage"'))) return true;
    const event = parseObject(dataOf(bytes));
    if (event === null) return true;
    const reading = readEvent(api, event);
    usage = { ...usage, ...reading.usage };
    if (reading.hasContent && !begun) {
      begun = true;
      onFirstToken();
    }
    return !(hidesUsage && reading.onlyUsage);
  };
  const pass = (pieces: StreamPiece[], chunk: Buffer): Buffer => {
    const kept = pieces.filter(read);
    return hidesUsage ? Buffer.concat(kept.map(({ bytes }) => bytes)) : chunk;
  };
  return {
    push: (chunk) => pass(splitter.push(chunk), chunk),
    end: () => pass([splitter.end()], EMPTY),
    usage: () => usage,
  };
}

/** For answers in one piece of JSON. */
export function createAnswerMeter(api: Api, held: HeldBytes): Meter {
  let fits = true;
  let usage = NO_USAGE;
  return {
    push(chunk) {
      fits &&= held.append(chunk);
      if (!fits) {
        held.take();
        held.settle();
      }
      return chunk;
    },
    end() {
      const answer = fits ? parseObject(held.take().toString("utf8")) : null;
      if (answer !== null) usage = { ...NO_USAGE, ...usageOfAnswer(api, answer) };
      return EMPTY;
    },
    usage: () => usage,
  };
}

/** `null` for what is no JSON object: `[DONE]`, a keep-alive, or rubbish, which passes unread. */
function parseObject(text: string): Json | null {
  if (!text.startsWith("{")) return null;
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
