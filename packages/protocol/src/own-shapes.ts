import { z } from "zod";
import { enumParam, numberParam, textParam } from "./query.ts";

/** What `/sandbox0/v1` takes and answers beside timelines and snapshots: the official API has no word for any of it. */
const NAME_CHARS_MAX = 255;
const name = z.string().min(1).max(NAME_CHARS_MAX);

/** `workspace` is a name: it is made if there is none. Only an admin key may give it, or ask for another admin key. */
export const apiKeyCreateParamsSchema = z.object({ name, workspace: name.optional(), admin: z.boolean().optional() });
export const apiKeySchema = z.object({
  id: z.string(),
  type: z.literal("api_key"),
  name: z.string(),
  workspace_id: z.string(),
  workspace_name: z.string(),
  /** Its last characters, to know it by. */
  hint: z.string(),
  admin: z.boolean(),
  created_at: z.string(),
  revoked_at: z.string().nullable(),
});
export type ApiKeyInfo = z.infer<typeof apiKeySchema>;
/** The answer that makes a key is the only one that has it. */
export const createdApiKeySchema = apiKeySchema.extend({ key: z.string() });
export const apiKeyListSchema = z.object({ data: z.array(apiKeySchema) });

/** A harness as this server has it, or why it does not. */
export const harnessSchema = z.object({
  type: z.literal("harness"),
  name: z.string(),
  /** Of the vendor's program; `null` for one that is the server's own, or is not installed. */
  version: z.string().nullable(),
  placement: z.enum(["sandbox-as-tool", "agent-in-sandbox"]),
  /** The provider APIs that it speaks, the one it prefers first. */
  apis: z.array(z.string()).readonly(),
  available: z.boolean(),
  unavailable_reason: z.string().nullable(),
  /** Runs sessions that ask for none. */
  default: z.boolean(),
});
export type HarnessInfo = z.infer<typeof harnessSchema>;
export const harnessListSchema = z.object({ data: z.array(harnessSchema) });

/** How far the packages and the setup of an environment are. */
export const environmentBuildSchema = z.object({
  type: z.literal("environment_build"),
  environment_id: z.string(),
  /** `ready` also where there is nothing to build. */
  state: z.enum(["queued", "building", "ready", "failed"]),
  /** What is being installed, or was when it failed: a package manager, or `setup`. */
  step: z.string().nullable(),
  /** Why it failed. */
  error: z.string().nullable(),
  started_at: z.string().nullable(),
  finished_at: z.string().nullable(),
  /** After a failure: when the next session tries again. */
  retry_at: z.string().nullable(),
  /** The end of the output of the last build. */
  log_tail: z.string(),
});
export type EnvironmentBuild = z.infer<typeof environmentBuildSchema>;

export const EGRESS_VERDICTS = ["allowed", "denied", "failed"] as const;
const EGRESS_PAGE_SIZE_MAX = 100;
/** Of the workspace's audit. A `host` stands for those below it, too. */
export const egressListQuerySchema = z.object({
  session_id: textParam,
  host: textParam,
  verdict: enumParam(EGRESS_VERDICTS),
  limit: numberParam(1, EGRESS_PAGE_SIZE_MAX),
  page: textParam,
});
export type EgressListQuery = z.infer<typeof egressListQuerySchema>;

/** One row of what a session's sandboxes sent out or tried to. */
export const egressRequestSchema = z.object({
  type: z.literal("egress_request"),
  at: z.string(),
  /** `null`: no session had the sandbox. */
  session_id: z.string().nullable(),
  sandbox_id: z.string(),
  host: z.string().nullable(),
  port: z.int().nullable(),
  verdict: z.enum(EGRESS_VERDICTS),
  /** A fixed word; `null` for what was allowed. */
  reason: z.string().nullable(),
  bytes_out: z.int(),
  bytes_in: z.int(),
  duration_ms: z.number(),
  /** Credentials whose secret was put in. */
  credential_ids: z.array(z.string()).readonly(),
});
export type EgressRequest = z.infer<typeof egressRequestSchema>;

/** Left out: a server with a key file makes the new key itself. */
export const masterKeyRotateParamsSchema = z.object({ new_key: z.string().optional() });
export const masterKeyRotationSchema = z.object({
  type: z.literal("master_key_rotation"),
  master_key_id: z.string(),
  /** Data keys that are under it now and were not before. */
  rewrapped: z.int(),
  /** Whose data key nothing opens: they were unreadable before, and still are. */
  unreadable: z.array(z.string()),
});

/** As OTLP over HTTP has it in JSON. */
export const sessionTracesSchema = z.object({
  resourceSpans: z.array(z.looseObject({})),
  next_page: z.string().nullable(),
});
