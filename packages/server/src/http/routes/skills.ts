import {
  type Page,
  invalidRequest,
  parseRequest,
  skillCreateParamsSchema,
  skillListQuerySchema,
  skillVersionListQuerySchema,
} from "@sandbox0/protocol";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { UploadedFile } from "../../resources/skills/skill-bundle.ts";
import { SKILL_BYTES_MAX, SKILL_FILES_MAX } from "../../resources/skills/skill-limits.ts";
import type { SkillVersions } from "../../resources/skills/skill-versions.ts";
import { tooLarge, tooManyFiles } from "../../resources/skills/skill-zip.ts";
import type { Skills } from "../../resources/skills/skills.ts";
import { workspaceOf } from "../auth.ts";
import { hasBeta } from "../betas.ts";
import { readQuery, sendValue } from "../json-body.ts";
import { addMultipart, readParts } from "../multipart.ts";

/** Asks for the shapes before the API was settled (contract §12). */
const LEGACY_BETA = "skills-2025-10-02";
const FILES = ["files[]", "files"];
/** The files, `display_name`, and some that mean nothing to us. */
const PARTS_MAX = SKILL_FILES_MAX + 16;

interface SkillId {
  Params: { skill: string };
}
interface VersionId {
  Params: { skill: string; version: string };
}

const shapeOf = (request: FastifyRequest) => ({ legacy: hasBeta(request, LEGACY_BETA) });
const skillAt = (request: FastifyRequest<SkillId>) => ({ workspaceId: workspaceOf(request), skillId: request.params.skill });
const versionAt = (request: FastifyRequest<VersionId>) => ({
  workspaceId: workspaceOf(request),
  skillId: request.params.skill,
  version: request.params.version,
});

export function addSkillRoutes(app: FastifyInstance, skills: Skills): void {
  app.register(async (uploads) => {
    await addMultipart(uploads);
    uploads.post("/v1/skills", async (request, reply) => {
      const { files, texts } = await readUpload(request);
      const { display_name: name, display_title: title } = parseRequest(skillCreateParamsSchema, texts);
      return sendValue(reply, await skills.create(workspaceOf(request), files, name || title, shapeOf(request)));
    });
  });
  app.get("/v1/skills", async (request, reply) =>
    sendSkillPage(
      request,
      reply,
      await skills.list(workspaceOf(request), readQuery(request, skillListQuerySchema), shapeOf(request)),
    ),
  );
  app.get<SkillId>("/v1/skills/:skill", async (request, reply) =>
    sendValue(reply, await skills.retrieve(workspaceOf(request), request.params.skill, shapeOf(request))),
  );
  app.delete<SkillId>("/v1/skills/:skill", async (request, reply) =>
    sendValue(reply, await skills.delete(workspaceOf(request), request.params.skill, shapeOf(request))),
  );
}

export function addSkillVersionRoutes(app: FastifyInstance, versions: SkillVersions): void {
  const list = "/v1/skills/:skill/versions";
  const one = `${list}/:version`;
  app.register(async (uploads) => {
    await addMultipart(uploads);
    uploads.post<SkillId>(list, async (request, reply) => {
      const { files } = await readUpload(request);
      return sendValue(reply, await versions.create(skillAt(request), files, shapeOf(request)));
    });
  });
  app.get<SkillId>(list, async (request, reply) => {
    const query = readQuery(request, skillVersionListQuerySchema);
    return sendSkillPage(request, reply, await versions.list(skillAt(request), query, shapeOf(request)));
  });
  app.get<VersionId>(one, async (request, reply) =>
    sendValue(reply, await versions.retrieve(versionAt(request), shapeOf(request))),
  );
  app.delete<VersionId>(one, async (request, reply) =>
    sendValue(reply, await versions.delete(versionAt(request), shapeOf(request))),
  );
  app.get<VersionId>(`${one}/content`, async (request, reply) => {
    const { name, sizeBytes, content } = await versions.download(versionAt(request));
    return reply
      .header("content-type", "application/zip")
      .header("content-length", sizeBytes)
      .header("content-disposition", `attachment; filename="${name}.zip"`)
      .header("x-content-type-options", "nosniff")
      .send(content);
  });
}

/** The old lists say besides whether there is more. */
function sendSkillPage(request: FastifyRequest, reply: FastifyReply, page: Page<unknown>): FastifyReply {
  return sendValue(reply, shapeOf(request).legacy ? { ...page, has_more: page.next_page !== null } : page);
}

/** The whole form, which the bounds of a skill keep small enough for memory. @throws ApiError */
async function readUpload(request: FastifyRequest): Promise<{ files: UploadedFile[]; texts: Record<string, string> }> {
  const files: UploadedFile[] = [];
  const texts: Record<string, string> = {};
  let total = 0;
  for await (const part of readParts(request, { partsMax: PARTS_MAX, fileName: "files[]" })) {
    if (part.type === "text") {
      texts[part.name] = part.value;
      continue;
    }
    if (!FILES.includes(part.name)) throw invalidRequest(`${part.name}: no file is expected in this part`);
    if (files.length === SKILL_FILES_MAX) throw tooManyFiles();
    const chunks: Uint8Array[] = [];
    for await (const chunk of part.content) {
      total += chunk.length;
      if (total > SKILL_BYTES_MAX) throw tooLarge();
      chunks.push(chunk);
    }
    if (part.filename === undefined || part.filename === "") throw invalidRequest("files: every file needs a filename");
    files.push({ filename: part.filename, content: Buffer.concat(chunks) });
  }
  return { files, texts };
}
