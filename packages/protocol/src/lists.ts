import { z } from "zod";
import { EVENT_FILTER_TYPES, PREVIEW_TYPES } from "./events.ts";
import { describePathPrefixProblem } from "./memory-paths.ts";
import { MEMORY_OPERATIONS } from "./memory-versions.ts";
import { sha256Text } from "./memories.ts";
import { checkedParam, createdAtParams, enumParam, flagParam, listParam, numberParam, textParam, timeParam } from "./query.ts";

/** The query of every list and stream (contract §1.6, §2): page sizes, filters, orders. */
export const PAGE_SIZE_DEFAULT = 20;
export const PAGE_SIZE_MAX = 100;
export const MODELS_PAGE_SIZE_MAX = 1_000;
export const EVENTS_PAGE_SIZE_MAX = 1_000;
export const THREADS_PAGE_SIZE_MAX = 1_000;
export const EVENT_DELTAS_MAX = 100;

export const SESSION_STATUSES = ["rescheduling", "running", "idle", "terminated"] as const;
export const MODEL_LIFECYCLES = ["active", "deprecated", "retired"] as const;
const ORDERS = ["asc", "desc"] as const;
const limit = numberParam(1, PAGE_SIZE_MAX);

export const agentRetrieveQuerySchema = z.object({ version: numberParam(1, 2 ** 31 - 1) });
export const agentListQuerySchema = z.object({
  "created_at[gte]": timeParam,
  "created_at[lte]": timeParam,
  include_archived: flagParam,
  limit,
  page: textParam,
});
export type AgentListQuery = z.infer<typeof agentListQuerySchema>;

export const pageQuerySchema = z.object({ limit, page: textParam });
export type PageQuery = z.infer<typeof pageQuerySchema>;

export const environmentListQuerySchema = z.object({ include_archived: flagParam, limit, page: textParam });
export type EnvironmentListQuery = z.infer<typeof environmentListQuerySchema>;

/** Of vaults, and of the credentials of one. */
export const vaultListQuerySchema = z.object({ include_archived: flagParam, limit, page: textParam });
export type VaultListQuery = z.infer<typeof vaultListQuerySchema>;

export const memoryStoreListQuerySchema = z.object({
  "created_at[gte]": timeParam,
  "created_at[lte]": timeParam,
  include_archived: flagParam,
  limit,
  page: textParam,
});
export type MemoryStoreListQuery = z.infer<typeof memoryStoreListQuerySchema>;

/** Of a page with contents; a greater `limit` is lowered to it (contract §1.6). */
export const FULL_PAGE_SIZE_MAX = 20;
const VIEWS = ["basic", "full"] as const;
export type View = (typeof VIEWS)[number];
const view = enumParam(VIEWS);
export const viewQuerySchema = z.object({ view });

const pathPrefix = z.string().superRefine((prefix, context) => {
  const problem = describePathPrefixProblem(prefix);
  if (problem !== null) context.addIssue({ code: "custom", message: problem });
});
export const memoryListQuerySchema = z.object({
  depth: numberParam(0, 1),
  path_prefix: checkedParam(pathPrefix),
  view,
  limit,
  page: textParam,
});
export type MemoryListQuery = z.infer<typeof memoryListQuerySchema>;
export const memoryDeleteQuerySchema = z.object({ expected_content_sha256: checkedParam(sha256Text) });

export const memoryVersionListQuerySchema = z.object({
  memory_id: textParam,
  operation: enumParam(MEMORY_OPERATIONS),
  api_key_id: textParam,
  service_account_id: textParam,
  session_id: textParam,
  "created_at[gte]": timeParam,
  "created_at[lte]": timeParam,
  view,
  limit,
  page: textParam,
});
export type MemoryVersionListQuery = z.infer<typeof memoryVersionListQuerySchema>;

export const modelListQuerySchema = z.object({
  lifecycle: listParam(MODEL_LIFECYCLES, MODEL_LIFECYCLES.length),
  limit: numberParam(1, MODELS_PAGE_SIZE_MAX),
  after_id: textParam,
  before_id: textParam,
});
export type ModelListQuery = z.infer<typeof modelListQuerySchema>;

export const sessionListQuerySchema = z
  .object({
    agent_id: textParam,
    agent_version: numberParam(1, 2 ** 31 - 1),
    ...createdAtParams,
    deployment_id: textParam,
    include_archived: flagParam,
    memory_store_id: textParam,
    order: enumParam(ORDERS),
    statuses: listParam(SESSION_STATUSES),
    limit,
    page: textParam,
  })
  .refine((query) => query.agent_version === undefined || query.agent_id !== undefined, {
    path: ["agent_version"],
    message: "agent_version can only be used together with agent_id",
  });
export type SessionListQuery = z.infer<typeof sessionListQuerySchema>;

/** Strict, as the official service is here: a client that polls with a parameter we ignore would read the log wrongly. */
export const eventListQuerySchema = z.strictObject(
  {
    ...createdAtParams,
    order: enumParam(ORDERS),
    types: listParam(EVENT_FILTER_TYPES),
    limit: numberParam(1, EVENTS_PAGE_SIZE_MAX),
    page: textParam,
  },
  {
    error: (issue) =>
      issue.code === "unrecognized_keys"
        ? `Unknown query parameter ${issue.keys.map((key) => `\`${key}\``).join(", ")}; accepted are created_at[gt], created_at[gte], created_at[lt], created_at[lte], limit, order, page, types[]`
        : undefined,
  },
);
export type EventListQuery = z.infer<typeof eventListQuerySchema>;

export const threadEventListQuerySchema = z.object({ limit: numberParam(1, EVENTS_PAGE_SIZE_MAX), page: textParam });

export const threadListQuerySchema = z.object({
  statuses: listParam(SESSION_STATUSES),
  limit: numberParam(1, THREADS_PAGE_SIZE_MAX),
  page: textParam,
});
export type ThreadListQuery = z.infer<typeof threadListQuerySchema>;

export const eventStreamQuerySchema = z.object({ event_deltas: listParam(PREVIEW_TYPES, EVENT_DELTAS_MAX) });
