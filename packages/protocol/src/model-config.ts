import { z } from "zod";

/** Which model, and how (contract §3.1). */
export const EFFORTS = ["low", "medium", "high", "xhigh", "max"] as const;
export type Effort = (typeof EFFORTS)[number];
export const SPEEDS = ["standard", "fast"] as const;
export type Speed = (typeof SPEEDS)[number];
const INFERENCE_GEOS: readonly string[] = ["us", "global"];

const MODEL_ID_CHARS_MAX = 256;
export const modelIdSchema = z.string().min(1).max(MODEL_ID_CHARS_MAX);

/** A bare level or `{type: level}`; both mean the same. */
const effortParams = z.union([z.enum(EFFORTS), z.object({ type: z.enum(EFFORTS) })]);
export const modelConfigParamsSchema = z.object({
  id: modelIdSchema,
  effort: effortParams.nullish(),
  speed: z.enum(SPEEDS).nullish(),
  inference_geo: z
    .string()
    .refine((geo) => INFERENCE_GEOS.includes(geo), 'must be "us" or "global"')
    .nullish(),
});
export const modelParamsSchema = z.union([modelIdSchema, modelConfigParamsSchema]);
export type ModelParams = z.infer<typeof modelParamsSchema>;

const effortSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("low") }),
  z.object({ type: z.literal("medium") }),
  z.object({ type: z.literal("high") }),
  z.object({ type: z.literal("xhigh") }),
  z.object({ type: z.literal("max") }),
]);
/** `speed` is always there in what this server makes, `effort` for every model that is known to take one (semantics §2). */
export const modelConfigSchema = z.object({
  id: z.string(),
  effort: effortSchema.optional(),
  speed: z.enum(SPEEDS).optional(),
  inference_geo: z.string().optional(),
});
export type ModelConfig = z.infer<typeof modelConfigSchema>;
