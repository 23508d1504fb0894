import { z } from "zod";
import { invalidRequest, type ErrorDetails } from "./errors.ts";

/** Contract §1.10. */
export const METADATA_PAIRS_MAX = 16;
export const METADATA_KEY_CHARS_MAX = 64;
export const METADATA_VALUE_CHARS_MAX = 512;

export type Metadata = Record<string, string>;
/** A string upserts, `null` deletes, a key left out stays. */
export type MetadataPatch = Record<string, string | null>;

function findProblems(metadata: Readonly<Record<string, string | null>>, limitPairs: boolean): string[] {
  const problems: string[] = [];
  const keys = Object.keys(metadata);
  if (limitPairs && keys.length > METADATA_PAIRS_MAX)
    problems.push(`at most ${METADATA_PAIRS_MAX} pairs are allowed, got ${keys.length}`);
  for (const key of keys) {
    const shown = key.slice(0, METADATA_KEY_CHARS_MAX);
    if (key.length === 0) problems.push("a key must not be empty");
    if (key.length > METADATA_KEY_CHARS_MAX) problems.push(`key "${shown}…" has more than ${METADATA_KEY_CHARS_MAX} characters`);
    if ((metadata[key]?.length ?? 0) > METADATA_VALUE_CHARS_MAX) {
      problems.push(`the value of "${shown}" has more than ${METADATA_VALUE_CHARS_MAX} characters`);
    }
  }
  return problems;
}

/** `code` is the machine-readable code of the error; environments have one (contract §1.7). */
function limited<S extends z.ZodType<Readonly<Record<string, string | null>>>>(schema: S, limitPairs: boolean, code?: string): S {
  return schema.superRefine((metadata, context) => {
    for (const message of findProblems(metadata, limitPairs)) {
      context.addIssue({ code: "custom", message, ...(code === undefined ? {} : { params: { error_code: code } }) });
    }
  });
}

const pairs = z.record(z.string(), z.string());
const patchPairs = z.record(z.string(), z.string().nullable());

export const metadataSchema = pairs;
export const metadataParamsSchema = limited(pairs, true);
/** The number of pairs is checked on the merged bag: see `mergeMetadata`. */
export const metadataPatchSchema = limited(patchPairs, false);
export const environmentMetadataParamsSchema = limited(pairs, true, "invalid_metadata");
export const environmentMetadataPatchSchema = limited(patchPairs, false, "invalid_metadata");

/**
 * Merge-patches stored metadata.
 * @throws ApiError when the result has more than `METADATA_PAIRS_MAX` pairs
 */
export function mergeMetadata(
  stored: Readonly<Metadata>,
  patch: Readonly<MetadataPatch> | null | undefined,
  options: { emptyDeletes?: boolean; details?: ErrorDetails } = {},
): Metadata {
  const merged = new Map(Object.entries(stored));
  for (const [key, value] of Object.entries(patch ?? {})) {
    if (value === null || (value === "" && options.emptyDeletes === true)) merged.delete(key);
    else merged.set(key, value);
  }
  if (merged.size > METADATA_PAIRS_MAX) {
    throw invalidRequest(
      `metadata: at most ${METADATA_PAIRS_MAX} pairs are allowed, the result would have ${merged.size}`,
      options.details,
    );
  }
  return Object.fromEntries(merged);
}
