import multipart from "@fastify/multipart";
import { ApiError, invalidRequest } from "@sandbox0/protocol";
import type { FastifyInstance, FastifyRequest } from "fastify";

const HEADERS_MAX = 32;
const HEADER_BYTES_MAX = 16 * 1024;
const TEXT_BYTES_MAX = 4 * 1024;

export interface FilePart {
  type: "file";
  name: string;
  /** As the client gave it, path and all. */
  filename: string | undefined;
  mimeType: string;
  /** As it comes. @throws ApiError when the body is broken or ends too early */
  content: AsyncIterable<Uint8Array>;
}

export interface TextPart {
  type: "text";
  name: string;
  value: string;
}

export interface PartsOptions {
  /** Of both kinds together. */
  partsMax: number;
  /** A part of this name is a file also without a filename. */
  fileName: string;
}

/** Lets the routes of this scope take multipart forms, and nothing else. */
export async function addMultipart(scope: FastifyInstance): Promise<void> {
  scope.addHook("onRequest", (request, _reply, done) => {
    const type = request.headers["content-type"] ?? "";
    if (!/^multipart\/form-data\s*;/i.test(type)) throw invalidRequest("content-type: must be multipart/form-data");
    const encoding = request.headers["content-encoding"] ?? "identity";
    if (encoding !== "identity") {
      throw invalidRequest(`content-encoding: "${encoding}" is not supported`, {
        error_code: "request_body_encoding_unsupported",
      });
    }
    done();
  });
  await scope.register(multipart);
}

/**
 * The parts of a form, one after the other, streamed. A file's content must be read before the next part is asked for; what
 * is left of it is thrown away. @throws ApiError when the body is not a form, or has too much of something
 */
export async function* readParts(
  request: FastifyRequest,
  { partsMax, fileName }: PartsOptions,
): AsyncGenerator<FilePart | TextPart, void, undefined> {
  const limits = {
    parts: partsMax,
    fieldSize: TEXT_BYTES_MAX,
    headerPairs: HEADERS_MAX,
    headerSize: HEADER_BYTES_MAX,
    // Whoever reads a file knows how long it may be.
    fileSize: Number.POSITIVE_INFINITY,
  };
  const isPartAFile = (name: string | undefined, type: string | undefined, filename: string | undefined): boolean =>
    name === fileName || filename !== undefined || type === "application/octet-stream";
  const parts = request.parts({ limits, isPartAFile, preservePath: true });
  try {
    for (;;) {
      const { done, value: part } = await parts.next().catch(refuseBroken);
      if (done) return;
      if (part.type === "file") {
        const { fieldname: name, filename, mimetype: mimeType, file } = part;
        yield { type: "file", name, filename, mimeType, content: contentOf(file) };
        file.resume();
      } else {
        yield textOf(part);
      }
    }
  } finally {
    // Whatever is still to come of a form nobody reads on: the client is answered while it sends.
    request.raw.unpipe();
    request.raw.resume();
  }
}

function textOf(part: { fieldname: string; value: unknown; valueTruncated: boolean }): TextPart {
  const { fieldname: name, value } = part;
  if (part.valueTruncated) throw invalidRequest(`${name}: must have at most ${TEXT_BYTES_MAX} bytes`);
  if (typeof value !== "string") throw invalidRequest(`${name}: must be text`);
  return { type: "text", name, value };
}

async function* contentOf(file: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const chunks = file[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { done, value } = await chunks.next().catch(refuseBroken);
      if (done) return;
      yield value;
    }
  } finally {
    await chunks.return?.();
  }
}

/** The parser's errors have no type: whatever it says, the form is not one. */
function refuseBroken(error: unknown): never {
  if (error instanceof ApiError) throw error;
  const detail = error instanceof Error ? error.message : String(error);
  throw invalidRequest(`The request body is not a valid multipart form: ${detail}`);
}
