import { isUtf8 } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Hold } from "../budget.ts";
import { type Members, scanJson } from "./json-scan.ts";
import type { ModelGatewayLimits } from "./limits.ts";
import type { Api } from "./operation.ts";
import { Refusal } from "./refusal.ts";

/** At a provider, any model's name is shorter; a longer one is not worth a look-up. */
const MODEL_NAME_CHARS_MAX = 256;
const FIELD_NAME = /^[a-z0-9_]+$/;

export type Json = Record<string, unknown>;

/** A request body that every parser reads the same way. */
export interface ModelRequest {
  model: string;
  stream: boolean;
  json: Json;
  raw: Buffer;
  members: Members;
}

/** Reads and parses the body, whose bytes `hold` takes. @throws Refusal */
export async function readModelRequest(
  req: IncomingMessage,
  res: ServerResponse,
  limits: ModelGatewayLimits,
  hold: Hold,
): Promise<ModelRequest> {
  const encoding = req.headers["content-encoding"];
  if (encoding !== undefined && encoding.toLowerCase() !== "identity")
    throw new Refusal("encoding", "The model gateway reads request bodies: send this one without a content-encoding.");
  if (Number(req.headers["content-length"] ?? 0) > limits.requestBytesMax) throw tooLarge(limits);
  // Whoever serves the socket may leave this to us.
  if (req.headers.expect?.toLowerCase() === "100-continue") res.writeContinue();
  let bytes = 0;
  // A body that does not come ends with its connection: there is nothing left to answer.
  const timer = setTimeout(() => req.destroy(), limits.bodyTimeoutMs);
  try {
    const chunks: Buffer[] = [];
    for await (const chunk of req as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > limits.requestBytesMax) throw tooLarge(limits);
      if (!hold.take(chunk.length))
        throw new Refusal("overloaded", "The model gateway holds too many request bodies. Try again.");
      chunks.push(chunk);
    }
    return parse(Buffer.concat(chunks));
  } finally {
    clearTimeout(timer);
  }
}

function tooLarge({ requestBytesMax }: ModelGatewayLimits): Refusal {
  return new Refusal("too_large", `A request body may have ${requestBytesMax} bytes.`);
}

function parse(raw: Buffer): ModelRequest {
  // What is not UTF-8 is replaced by some parsers, dropped by others.
  if (!isUtf8(raw)) throw new Refusal("invalid", "The request body is not UTF-8.");
  const scan = scanJson(raw);
  if ("problem" in scan) throw new Refusal("invalid", `The request body is not taken: ${scan.problem}.`);
  const json = parseObject(raw.toString("utf8"));
  // No API has others; some parsers take `Model` for `model`.
  const odd = [...scan.members.keys()].find((name) => !FIELD_NAME.test(name));
  if (odd !== undefined) throw new Refusal("invalid", `"${odd.slice(0, 64)}" is no field of a request.`);
  const { model, stream } = json;
  if (typeof model !== "string" || model === "" || model.length > MODEL_NAME_CHARS_MAX)
    throw new Refusal("invalid", "model: the name of a model is required.");
  return { model, stream: stream === true, json, raw, members: scan.members };
}

function parseObject(text: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Refusal("invalid", "The request body is not a JSON object.");
  return value as Json;
}

/**
 * The body as it goes to the provider: byte for byte as it came, as numbers and prompt caches want it. Only Chat Completions
 * count nothing in a stream that does not ask for it, so the gateway asks.
 * @returns `hidesUsage`: the client did not ask, and does not expect the chunk that answers
 */
export function providerBody(api: Api, { stream, json, raw, members }: ModelRequest): { body: Buffer; hidesUsage: boolean } {
  const options = json.stream_options as Json | null | undefined;
  if (api !== "openai-completions" || !stream || options?.include_usage === true) return { body: raw, hidesUsage: false };
  const asking = Buffer.from(JSON.stringify({ ...options, include_usage: true }));
  const place = members.get("stream_options");
  if (place) return { body: Buffer.concat([raw.subarray(0, place.start), asking, raw.subarray(place.end)]), hidesUsage: true };
  const open = raw.indexOf("{") + 1;
  const member = Buffer.concat([Buffer.from('"stream_options":'), asking, Buffer.from(",")]);
  return { body: Buffer.concat([raw.subarray(0, open), member, raw.subarray(open)]), hidesUsage: true };
}
