import {
  fileListQuerySchema,
  fileUploadParamsSchema,
  invalidRequest,
  legacyFileListQuerySchema,
  parseRequest,
} from "@sandbox0/protocol";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { type Files, type ReceivedFile, legacyFileOf } from "../../resources/files/files.ts";
import { workspaceOf } from "../auth.ts";
import { hasBeta } from "../betas.ts";
import { REQUEST_MS_MAX } from "../body-deadline.ts";
import { readQuery, sendValue } from "../json-body.ts";
import { addMultipart, readParts } from "../multipart.ts";

/** Asks for the shapes before the API was settled (contract §13). */
const LEGACY_BETA = "files-api-2025-04-14";
/**
 * Our own: the SHA-256 of a file's content, in hex. Uploads cannot be downloaded, so this is how `sandbox0 files apply`
 * knows whether one is the file it has.
 */
const CONTENT_DIGEST_HEADER = "sandbox0-content-sha256";
/** `file` and `expires_in_seconds`, and some that mean nothing to us. */
const PARTS_MAX = 16;
/** What an upload has in memory at most: the parts of it that are on their way to an S3 store. */
const UPLOAD_BYTES_IN_MEMORY = 16 * 1024 * 1024;

interface Id {
  Params: { id: string };
}

export function addFileRoutes(app: FastifyInstance, files: Files): void {
  app.register(async (uploads) => {
    await addMultipart(uploads);
    const config = { bodyMsMax: REQUEST_MS_MAX, bodyBytesInMemory: UPLOAD_BYTES_IN_MEMORY };
    uploads.post("/v1/files", { config }, async (request, reply) => {
      const file = await upload(files, request);
      return sendValue(reply, isLegacy(request) ? legacyFileOf(file) : file);
    });
  });
  app.get("/v1/files", async (request, reply) =>
    isLegacy(request)
      ? sendValue(reply, await files.listLegacy(workspaceOf(request), readQuery(request, legacyFileListQuerySchema)))
      : sendValue(reply, await files.list(workspaceOf(request), readQuery(request, fileListQuerySchema))),
  );
  app.get<Id>("/v1/files/:id", async (request, reply) => {
    const { file, sha256 } = await files.retrieve(workspaceOf(request), request.params.id);
    if (sha256 !== null) reply.header(CONTENT_DIGEST_HEADER, sha256);
    return sendValue(reply, isLegacy(request) ? legacyFileOf(file) : file);
  });
  app.get<Id>("/v1/files/:id/content", async (request, reply) => {
    const { file, content } = await files.download(workspaceOf(request), request.params.id);
    return reply
      .header("content-type", file.mime_type)
      .header("content-length", file.size_bytes)
      .header("content-disposition", `attachment; filename*=UTF-8''${encodeExtended(file.filename)}`)
      .header("x-content-type-options", "nosniff")
      .send(content);
  });
  app.delete<Id>("/v1/files/:id", async (request, reply) =>
    sendValue(reply, await files.delete(workspaceOf(request), request.params.id)),
  );
}

const isLegacy = (request: FastifyRequest): boolean => hasBeta(request, LEGACY_BETA);

/** Everything of the form is read and found good before there is a file. */
async function upload(files: Files, request: FastifyRequest): ReturnType<Files["create"]> {
  const workspaceId = workspaceOf(request);
  let received: ReceivedFile | undefined;
  const texts: Record<string, string> = {};
  for await (const part of readParts(request, { partsMax: PARTS_MAX, fileName: "file" })) {
    if (part.type === "text") {
      texts[part.name] = part.value;
    } else {
      if (part.name !== "file") throw invalidRequest(`${part.name}: no file is expected in this part`);
      if (received !== undefined) throw invalidRequest("file: only one file can be uploaded at a time");
      received = await files.receive(workspaceId, part);
    }
  }
  const params = parseRequest(fileUploadParamsSchema, texts);
  if (received === undefined) throw invalidRequest("file: Field required");
  return files.create(workspaceId, received, params);
}

/** As RFC 8187 has it: what `encodeURIComponent` leaves besides is not allowed there. */
function encodeExtended(text: string): string {
  return encodeURIComponent(text).replaceAll(/['()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}
