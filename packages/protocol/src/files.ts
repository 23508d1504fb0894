import { z } from "zod";
import { checkedParam, numberParam, textParam, textsParam } from "./query.ts";

/** Files (contract §13, semantics §11). */
export const FILES_PAGE_SIZE_MAX = 1_000;
/** Files that a list may be asked for by their ids. */
export const FILE_IDS_MAX = 100;
export const FILE_EXPIRY_SECONDS_MIN = 3_600;
export const FILE_EXPIRY_SECONDS_MAX = 7_776_000;
const FILE_NAME_CHARS_MAX = 255;

export const fileSchema = z.object({
  id: z.string(),
  type: z.literal("file"),
  filename: z.string(),
  mime_type: z.string(),
  size_bytes: z.int(),
  created_at: z.string(),
  downloadable: z.boolean().optional(),
  expires_at: z.string().nullable().optional(),
  /** The session whose file it is; not there for an uploaded one. */
  scope: z
    .object({ type: z.literal("session"), id: z.string() })
    .nullable()
    .optional(),
});
export type FileMetadata = z.infer<typeof fileSchema>;

/** As it is shown under `anthropic-beta: files-api-2025-04-14`. */
export const legacyFileSchema = fileSchema.omit({ expires_at: true });
export type LegacyFileMetadata = z.infer<typeof legacyFileSchema>;

/** The text parts of an upload. */
export const fileUploadParamsSchema = z.object({
  expires_in_seconds: z
    .string()
    .regex(/^\d{1,15}$/, "must be a whole number")
    .transform(Number)
    .pipe(z.int().min(FILE_EXPIRY_SECONDS_MIN).max(FILE_EXPIRY_SECONDS_MAX))
    .optional(),
});
export type FileUploadParams = z.infer<typeof fileUploadParamsSchema>;

const scopeId = checkedParam(z.string().startsWith("sesn_", "must be the id of a session"));
const limit = numberParam(1, FILES_PAGE_SIZE_MAX);

export const fileListQuerySchema = z
  .object({
    ids: textsParam(FILE_IDS_MAX),
    scope_id: scopeId,
    limit,
    page: textParam,
  })
  .refine((query) => query.ids === undefined || (query.limit === undefined && query.page === undefined), {
    path: ["ids"],
    message: "ids cannot be used together with limit or page",
  });
export type FileListQuery = z.infer<typeof fileListQuerySchema>;

export const legacyFileListQuerySchema = z
  .object({ scope_id: scopeId, limit, after_id: textParam, before_id: textParam })
  .refine((query) => query.after_id === undefined || query.before_id === undefined, {
    message: "Only one of after_id or before_id may be set.",
  });
export type LegacyFileListQuery = z.infer<typeof legacyFileListQuerySchema>;

/** What the name of a file must not be, as a sentence; `null` when it is none of that. */
export function describeFileNameProblem(name: string): string | null {
  if (name === "." || name === "..") return "must not be `.` or `..`";
  const length = [...name].length;
  if (length === 0 || length > FILE_NAME_CHARS_MAX) return `must have 1 to ${FILE_NAME_CHARS_MAX} characters`;
  if (/[<>:"|?*\\/\p{Cc}]/u.test(name)) return 'must not contain any of <>:"|?*\\/ or control characters';
  return name.isWellFormed() ? null : "must be valid Unicode";
}
