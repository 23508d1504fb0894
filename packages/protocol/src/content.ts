import { z } from "zod";

const ID_CHARS_MAX = 256;
/** An id that a client gives back: never one of ours if it has other characters, and some no database would take. */
export const idParamSchema = z
  .string()
  .min(1)
  .max(ID_CHARS_MAX)
  .regex(/^[\x21-\x7e]+$/, "is not an id");

/** Content blocks of events (contract §7.2). */
export const textBlockSchema = z.object({ type: z.literal("text"), text: z.string() });

const base64Source = z.object({ type: z.literal("base64"), media_type: z.string().min(1), data: z.base64() });
const webUrl = z.url({ protocol: /^https?$/, error: "must be an http or https URL" });
const urlSource = z.object({ type: z.literal("url"), url: webUrl });
const fileSource = z.object({ type: z.literal("file"), file_id: idParamSchema });
const plainTextSource = z.object({ type: z.literal("text"), media_type: z.literal("text/plain"), data: z.string() });

export const imageBlockSchema = z.object({
  type: z.literal("image"),
  source: z.discriminatedUnion("type", [base64Source, urlSource, fileSource]),
});

export const documentBlockSchema = z.object({
  type: z.literal("document"),
  source: z.discriminatedUnion("type", [base64Source, plainTextSource, urlSource, fileSource]),
  title: z.string().nullish(),
  context: z.string().nullish(),
});

export const searchResultBlockSchema = z.object({
  type: z.literal("search_result"),
  source: z.string(),
  title: z.string(),
  content: z.array(textBlockSchema),
  citations: z.object({ enabled: z.boolean() }),
});

export const redactedBlockSchema = z.object({ type: z.literal("redacted") });

/** A text that a client sends: the API refuses empty ones (semantics §7), as providers do. */
export const textParamsSchema = textBlockSchema.extend({ text: z.string().min(1, "must not be empty") });
/** What providers take inside a request: anything else would stay in the conversation and fail each later turn. */
const IMAGE_TYPES = ["image/jpeg", "image/png", "image/gif", "image/webp"];
const inline = (types: readonly string[]) =>
  base64Source.extend({
    media_type: z.string().refine((type) => types.includes(type), `must be one of ${types.join(", ")}`),
    data: z.base64().min(1, "must not be empty"),
  });
const inlineImage = inline(IMAGE_TYPES);
const inlinePdf = inline(["application/pdf"]);
const inlineText = plainTextSource.extend({ data: z.string().min(1, "must not be empty") });
const imageParamsSchema = imageBlockSchema.extend({
  source: z.discriminatedUnion("type", [inlineImage, urlSource, fileSource]),
});
const documentParamsSchema = documentBlockSchema.extend({
  source: z.discriminatedUnion("type", [inlinePdf, inlineText, urlSource, fileSource]),
});

/** What a client may put into a `user.message`: `redacted` comes from the platform only (semantics §5.9). */
export const userContentSchema = z.discriminatedUnion("type", [textParamsSchema, imageParamsSchema, documentParamsSchema]);
/** What a client may answer a tool call with. */
export const resultParamsSchema = z.discriminatedUnion("type", [
  textParamsSchema,
  imageParamsSchema,
  documentParamsSchema,
  searchResultBlockSchema,
]);
export const messageContentSchema = z.discriminatedUnion("type", [
  textBlockSchema,
  imageBlockSchema,
  documentBlockSchema,
  redactedBlockSchema,
]);
export const agentContentSchema = z.discriminatedUnion("type", [textBlockSchema, redactedBlockSchema]);
export const resultContentSchema = z.discriminatedUnion("type", [
  textBlockSchema,
  imageBlockSchema,
  documentBlockSchema,
  searchResultBlockSchema,
]);

export type TextBlock = z.infer<typeof textBlockSchema>;
export type ImageBlock = z.infer<typeof imageBlockSchema>;
export type DocumentBlock = z.infer<typeof documentBlockSchema>;
export type SearchResultBlock = z.infer<typeof searchResultBlockSchema>;
export type MessageContent = z.infer<typeof messageContentSchema>;
export type AgentContent = z.infer<typeof agentContentSchema>;
export type ResultContent = z.infer<typeof resultContentSchema>;
