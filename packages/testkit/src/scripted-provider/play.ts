import type { ServerResponse } from "node:http";
import { createCompletionsWire } from "./completions-wire.ts";
import { createMessagesWire } from "./messages-wire.ts";
import type { ScriptedRequest } from "./request.ts";
import { createResponsesWire } from "./responses-wire.ts";
import { type ContentPart, isContent, type Part, type ProviderFailure, type ScriptedUsage } from "./step.ts";
import { type Ending, streamedText, type Wire } from "./wire.ts";

const CHUNK_CHARS = 32;
const CHARS_A_TOKEN = 4;
const WIRES = { messages: createMessagesWire, responses: createResponsesWire, completions: createCompletionsWire };

/** Plays the parts of one step as the answer to `request`, and ends early when the client goes away. */
export async function play(
  parts: readonly Part[],
  request: ScriptedRequest,
  response: ServerResponse,
  sendFailure: (failure: ProviderFailure) => void,
): Promise<void> {
  const gone = new Promise<void>((resolve) => response.once("close", resolve));
  const content = parts.filter(isContent);
  const wire = WIRES[request.api](request, usageOf(parts, content, request));
  const out = createWriter(response, request.stream);
  for (const part of parts) {
    if (response.destroyed) return;
    if (part.type === "fail") {
      request.state = "answered";
      return sendFailure(part.failure);
    }
    if (part.type === "cut") {
      request.state = "cut";
      await out.flush();
      return void response.destroy();
    }
    if (part.type === "hold" || part.type === "wait") {
      await out.flush();
      await Promise.race([part.type === "hold" ? part.gate.pass() : sleep(part.ms), gone]);
    } else if (request.stream && part.type === "error_event") {
      out.add(wire.errorFrame(part.error));
      await out.flush();
      request.state = "answered";
      return void response.end();
    } else if (request.stream && isContent(part)) {
      out.open(wire);
      await playPart(part, wire, out, gone);
    }
  }
  if (response.destroyed) return;
  request.state = "answered";
  const ending = endingOf(parts, content);
  if (request.stream) {
    out.open(wire);
    out.add(wire.close(ending));
    await out.flush();
    response.end();
  } else {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(wire.whole(content, ending)));
  }
}

interface Writer {
  /** Writes the head and the first frames, once. */
  open(wire: Wire): void;
  add(frames: string): void;
  flush(): Promise<void>;
}

/** Frames gather until the script pauses, so that an instant answer is one write. */
function createWriter(response: ServerResponse, stream: boolean): Writer {
  let buffer = "";
  let opened = false;
  return {
    open(wire) {
      if (opened) return;
      opened = true;
      buffer += wire.open();
    },
    add(frames) {
      buffer += frames;
    },
    async flush() {
      if (!stream || buffer === "" || response.destroyed) return;
      if (!response.headersSent) response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
      const frames = buffer;
      buffer = "";
      // Resolves when the bytes are with the kernel: a cut must come after them, not instead of them.
      await new Promise<void>((resolve) => response.write(frames, () => resolve()));
    },
  };
}

async function playPart(part: ContentPart, wire: Wire, out: Writer, gone: Promise<void>): Promise<void> {
  const { chunkChars = CHUNK_CHARS, everyMs = 0 } = part.type === "refusal" ? {} : part;
  out.add(wire.begin(part));
  for (const piece of pieces(streamedText(part), chunkChars)) {
    out.add(wire.delta(part, piece));
    if (everyMs === 0) continue;
    await out.flush();
    await Promise.race([sleep(everyMs), gone]);
  }
  out.add(wire.end(part));
}

/** Cuts text into pieces, never in the middle of a surrogate pair. */
function* pieces(text: string, chunkChars: number): Generator<string> {
  for (let start = 0; start < text.length; ) {
    let end = Math.min(start + chunkChars, text.length);
    const last = text.charCodeAt(end - 1);
    if (end < text.length && last >= 0xd800 && last <= 0xdbff) end += 1;
    yield text.slice(start, end);
    start = end;
  }
}

function endingOf(parts: readonly Part[], content: readonly ContentPart[]): Ending {
  const forced = parts.find((part) => part.type === "stop");
  if (forced !== undefined) return forced.reason;
  if (content.some((part) => part.type === "refusal")) return "refusal";
  return content.some((part) => part.type === "call") ? "calls" : "end";
}

function usageOf(parts: readonly Part[], content: readonly ContentPart[], request: ScriptedRequest): ScriptedUsage {
  const written = content.reduce((sum, part) => sum + streamedText(part).length, 0);
  const estimate = { input: Math.ceil(request.bodyBytes / CHARS_A_TOKEN), output: Math.ceil(written / CHARS_A_TOKEN) };
  const said = parts.filter((part) => part.type === "usage").map((part) => part.usage);
  return Object.assign({ ...estimate, cacheRead: 0, cacheWrite: 0 }, ...said) as ScriptedUsage;
}

function sleep(ms: number): Promise<void> {
  // unref: a script that still waits when its client has gone must not keep the process alive.
  return new Promise((resolve) => void setTimeout(resolve, ms).unref());
}
