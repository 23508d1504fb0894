import { isUtf8 } from "node:buffer";
import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate } from "node:zlib";
import { invalidRequest, parseRequest, requireShallow, requireStorableText } from "@sandbox0/protocol";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { z } from "zod";
import { BODY_BYTES_MAX, bodyTooLarge } from "./request-errors.ts";

/** Request and answer bodies (contract §1.4). */
const CHARSETS: Readonly<Record<string, BufferEncoding>> = {
  "utf-8": "utf8",
  utf8: "utf8",
  "iso-8859-1": "latin1",
  "us-ascii": "latin1",
};
const CHARSET = /;\s*charset=\s*"?([^\s;"]+)/i;
const DECODERS: Readonly<Record<string, (body: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>>> = {
  gzip: promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
};

async function decodeContent(body: Buffer, encoding: string | undefined): Promise<Buffer> {
  if (encoding === undefined || encoding === "identity") return body;
  const decode = DECODERS[encoding.toLowerCase()];
  if (decode === undefined) {
    throw invalidRequest(`content-encoding: "${encoding}" is not supported`, { error_code: "request_body_encoding_unsupported" });
  }
  try {
    return await decode(body, { maxOutputLength: BODY_BYTES_MAX });
  } catch (error) {
    if (error instanceof RangeError) throw bodyTooLarge("request_body_too_large_after_decoding");
    throw invalidRequest(`content-encoding: the body is not valid ${encoding}`, { error_code: "request_body_encoding_invalid" });
  }
}

function decodeText(body: Buffer, contentType: string | undefined): string {
  const charset = CHARSET.exec(contentType ?? "")?.[1]?.toLowerCase() ?? "utf-8";
  const encoding = CHARSETS[charset];
  if (encoding === undefined)
    throw invalidRequest(`content-type: charset "${charset}" is not supported`, { error_code: "unsupported_charset" });
  if (encoding === "utf8" && !isUtf8(body)) throw invalidRequest("The request body is not valid UTF-8");
  return body.toString(encoding);
}

/**
 * Replaces the framework's body parsers: JSON of any supported encoding, empty bodies, and no key that would reach a
 * prototype. Nothing but JSON is accepted on the routes that exist.
 */
export function addJsonParser(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser("error", "error");
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>("application/json", { parseAs: "buffer" }, (request, body, done) => {
    void decodeContent(body, request.headers["content-encoding"])
      .then((content) => {
        request.server.holdDecoded?.(request, content.length);
        return decodeText(content, request.headers["content-type"]);
      })
      .then((text) => (text.trim() === "" ? done(null, undefined) : parse(request, text, done)))
      .catch((error: unknown) => done(error as Error));
  });
}

/** The parsed body; what is not there is `{}`. @throws ApiError that names the field and the rule */
export function readBody<S extends z.ZodType>(
  request: FastifyRequest,
  schema: S,
  options: { exempt?: string } = {},
): z.output<S> {
  const body = request.body ?? {};
  requireShallow(body);
  const params = parseRequest(schema, body);
  // Event texts are stored as JSON, escapes and all; everything else lands in columns that refuse NUL.
  const stored = options.exempt === undefined ? params : { ...(params as object), [options.exempt]: null };
  requireStorableText(stored);
  return params;
}

/** For what is kept as JSON texts, NUL and all: events. @throws ApiError */
export function readEventBody<S extends z.ZodType>(request: FastifyRequest, schema: S): z.output<S> {
  const body = request.body ?? {};
  requireShallow(body);
  return parseRequest(schema, body);
}

/** @throws ApiError that names the parameter and the rule */
export function readQuery<S extends z.ZodType>(request: FastifyRequest, schema: S): z.output<S> {
  return parseRequest(schema, request.query);
}

/** Sends JSON that is already text. */
export function sendJson(reply: FastifyReply, json: string): FastifyReply {
  return reply.header("content-type", "application/json").send(json);
}

export function sendValue(reply: FastifyReply, value: unknown): FastifyReply {
  return sendJson(reply, JSON.stringify(value));
}

/** A page of entries that are JSON texts. */
export function sendPage(reply: FastifyReply, page: { data: readonly string[]; next_page: string | null }): FastifyReply {
  return sendJson(reply, `{"data":[${page.data.join(",")}],"next_page":${JSON.stringify(page.next_page)}}`);
}
