import { attentionSchema } from "./attention.ts";
import { z } from "zod";
import { agentCreateParamsSchema, agentUpdateParamsSchema } from "./agents.ts";
import { environmentCreateParamsSchema, environmentUpdateParamsSchema } from "./environments.ts";
import { fileListQuerySchema, fileUploadParamsSchema } from "./files.ts";
import { JSON_FORMS } from "./json-forms.ts";
import {
  agentListQuerySchema,
  agentRetrieveQuerySchema,
  environmentListQuerySchema,
  eventListQuerySchema,
  eventStreamQuerySchema,
  memoryDeleteQuerySchema,
  memoryListQuerySchema,
  memoryStoreListQuerySchema,
  memoryVersionListQuerySchema,
  modelListQuerySchema,
  pageQuerySchema,
  sessionListQuerySchema,
  threadEventListQuerySchema,
  threadListQuerySchema,
  vaultListQuerySchema,
  viewQuerySchema,
} from "./lists.ts";
import { memoryCreateParamsSchema, memoryUpdateParamsSchema } from "./memories.ts";
import { memoryStoreCreateParamsSchema, memoryStoreUpdateParamsSchema } from "./memory-stores.ts";
import type { HttpMethod, OperationName } from "./operations.ts";
import {
  apiKeyCreateParamsSchema,
  apiKeyListSchema,
  createdApiKeySchema,
  egressListQuerySchema,
  egressRequestSchema,
  environmentBuildSchema,
  harnessListSchema,
  masterKeyRotateParamsSchema,
  masterKeyRotationSchema,
  sessionTracesSchema,
} from "./own-shapes.ts";
import { pageOf } from "./pagination.ts";
import { deletedSchema } from "./responses.ts";
import { resourceAddParamsSchema, resourceListQuerySchema, resourceUpdateParamsSchema } from "./session-resources.ts";
import { eventSendParamsSchema, sessionCreateParamsSchema, sessionSchema, sessionUpdateParamsSchema } from "./sessions.ts";
import { skillCreateParamsSchema, skillListQuerySchema, skillVersionListQuerySchema } from "./skills.ts";
import { sessionForkParamsSchema, sessionRestoreParamsSchema, snapshotCreateParamsSchema, snapshotSchema } from "./snapshots.ts";
import { timelineSchema } from "./timeline.ts";
import {
  credentialCreateParamsSchema,
  credentialUpdateParamsSchema,
  vaultCreateParamsSchema,
  vaultUpdateParamsSchema,
} from "./vaults.ts";

/** What an operation takes and how it answers, beside what `OPERATIONS` and `RESPONSES` say. */
export interface OperationShape {
  summary: string;
  description?: string;
  query?: z.ZodObject;
  body?: z.ZodType;
  /** The parts of `multipart/form-data`. */
  form?: z.ZodType;
  /** A media type, where the answer is no JSON. */
  media?: string;
  /** The body of the 200, where `RESPONSES` has none. */
  response?: z.ZodType;
}

const filePart = z.unknown();
JSON_FORMS.add(filePart, { contentMediaType: "application/octet-stream" });
const fileParts = z.array(filePart).min(1);
const STREAM =
  "Server-sent events, one `event:` and one `data:` line each, live from its opening: nothing is replayed. Open it before you send, " +
  "and list the events to know what came before. A `ping` comes every 15 seconds. `event_deltas[]` asks for previews of messages.";

export const OPERATION_SHAPES: Partial<Record<OperationName, OperationShape>> = {
  "agents.create": { summary: "Create an agent", body: agentCreateParamsSchema },
  "agents.retrieve": { summary: "Retrieve an agent, or one of its versions", query: agentRetrieveQuerySchema },
  "agents.update": {
    summary: "Update an agent: makes a new version",
    description: "With `version`, only if that is still the newest one; else 409.",
    body: agentUpdateParamsSchema,
  },
  "agents.list": { summary: "List agents, newest first", query: agentListQuerySchema },
  "agents.archive": { summary: "Archive an agent", description: "For good. Its sessions go on." },
  "agents.versions.list": { summary: "List the versions of an agent, newest first", query: pageQuerySchema },
  "environments.create": { summary: "Create an environment", body: environmentCreateParamsSchema },
  "environments.retrieve": { summary: "Retrieve an environment" },
  "environments.update": {
    summary: "Update an environment",
    description: "A change of networking reaches running sandboxes within 5 seconds.",
    body: environmentUpdateParamsSchema,
  },
  "environments.list": { summary: "List environments, newest first", query: environmentListQuerySchema },
  "environments.delete": { summary: "Delete an environment", description: "409 while sessions refer to it." },
  "environments.archive": { summary: "Archive an environment" },
  "sessions.create": {
    summary: "Create a session",
    description: "With `initial_events` it runs at once. A `traceparent` header makes its trace a part of the client's.",
    body: sessionCreateParamsSchema,
  },
  "sessions.retrieve": { summary: "Retrieve a session" },
  "sessions.update": { summary: "Update a session: title, metadata, tools and MCP servers", body: sessionUpdateParamsSchema },
  "sessions.list": { summary: "List sessions, newest first", query: sessionListQuerySchema },
  "sessions.delete": { summary: "Delete a session with its files", description: "400 while it runs." },
  "sessions.archive": { summary: "Archive a session: it can be read, and no longer run", description: "400 while it runs." },
  "sessions.events.list": {
    summary: "List the events of a session, oldest first",
    description: "Unknown query parameters are refused here, and ignored elsewhere.",
    query: eventListQuerySchema,
  },
  "sessions.events.send": {
    summary: "Send events: messages, answers, an interrupt",
    description:
      "All or none. The answer has the stored events; they are durable then, and nothing has run yet. 429 when too many wait.",
    body: eventSendParamsSchema,
  },
  "sessions.events.stream": {
    summary: "Follow a session",
    description: STREAM,
    query: eventStreamQuerySchema,
    media: "text/event-stream",
  },
  "sessions.resources.add": { summary: "Mount a file in a session", body: resourceAddParamsSchema },
  "sessions.resources.retrieve": { summary: "Retrieve a resource of a session" },
  "sessions.resources.update": { summary: "Replace the token of a repository", body: resourceUpdateParamsSchema },
  "sessions.resources.list": { summary: "List the resources of a session", query: resourceListQuerySchema },
  "sessions.resources.delete": { summary: "Unmount a file" },
  "sessions.threads.retrieve": { summary: "Retrieve a thread" },
  "sessions.threads.list": { summary: "List the threads of a session", query: threadListQuerySchema },
  "sessions.threads.events.list": { summary: "List the events of a thread", query: threadEventListQuerySchema },
  "sessions.threads.events.stream": {
    summary: "Follow a thread",
    description: STREAM,
    query: eventStreamQuerySchema,
    media: "text/event-stream",
  },
  "vaults.create": { summary: "Create a vault", body: vaultCreateParamsSchema },
  "vaults.retrieve": { summary: "Retrieve a vault" },
  "vaults.update": { summary: "Update a vault", body: vaultUpdateParamsSchema },
  "vaults.list": { summary: "List vaults, newest first", query: vaultListQuerySchema },
  "vaults.delete": { summary: "Delete a vault with its secrets" },
  "vaults.archive": { summary: "Archive a vault: its secrets are purged" },
  "vaults.credentials.create": { summary: "Put a secret into a vault", body: credentialCreateParamsSchema },
  "vaults.credentials.retrieve": { summary: "Retrieve a credential, without its secret" },
  "vaults.credentials.update": { summary: "Rotate a secret, rename a credential", body: credentialUpdateParamsSchema },
  "vaults.credentials.list": { summary: "List the credentials of a vault", query: vaultListQuerySchema },
  "vaults.credentials.delete": { summary: "Delete a credential" },
  "vaults.credentials.archive": { summary: "Archive a credential: its secret is purged" },
  "vaults.credentials.mcpOAuthValidate": { summary: "Try an OAuth credential at its MCP server" },
  "memoryStores.create": { summary: "Create a memory store", body: memoryStoreCreateParamsSchema },
  "memoryStores.retrieve": { summary: "Retrieve a memory store" },
  "memoryStores.update": { summary: "Update a memory store", body: memoryStoreUpdateParamsSchema },
  "memoryStores.list": { summary: "List memory stores, newest first", query: memoryStoreListQuerySchema },
  "memoryStores.delete": { summary: "Delete a memory store with its memories" },
  "memoryStores.archive": { summary: "Archive a memory store: it takes nothing more" },
  "memoryStores.memories.create": { summary: "Create a memory", query: viewQuerySchema, body: memoryCreateParamsSchema },
  "memoryStores.memories.retrieve": { summary: "Retrieve a memory", query: viewQuerySchema },
  "memoryStores.memories.update": {
    summary: "Change or move a memory",
    description: "With a `precondition`, only if the content is still the one with that hash; else 409.",
    query: viewQuerySchema,
    body: memoryUpdateParamsSchema,
  },
  "memoryStores.memories.list": { summary: "List memories by path", query: memoryListQuerySchema },
  "memoryStores.memories.delete": { summary: "Delete a memory", query: memoryDeleteQuerySchema },
  "memoryStores.memoryVersions.retrieve": { summary: "Retrieve a version of a memory", query: viewQuerySchema },
  "memoryStores.memoryVersions.list": { summary: "List versions of memories, newest first", query: memoryVersionListQuerySchema },
  "memoryStores.memoryVersions.redact": { summary: "Redact a version: its path and content are removed for good" },
  "files.upload": { summary: "Upload a file", form: fileUploadParamsSchema.extend({ file: filePart }) },
  "files.list": {
    summary: "List files, newest first",
    description: "Under `anthropic-beta: files-api-2025-04-14`: the older shape, with `after_id` and `before_id`.",
    query: fileListQuerySchema,
  },
  "files.retrieveMetadata": { summary: "Retrieve what is known of a file" },
  "files.download": { summary: "Download a file", media: "*/*" },
  "files.delete": { summary: "Delete a file" },
  "skills.create": {
    summary: "Upload a skill",
    description: "One zip archive, or the files of the skill with their directory in their names.",
    form: skillCreateParamsSchema.extend({ "files[]": fileParts }),
  },
  "skills.retrieve": { summary: "Retrieve a skill" },
  "skills.list": { summary: "List skills, newest first", query: skillListQuerySchema },
  "skills.delete": { summary: "Delete a skill with its versions" },
  "skills.versions.create": { summary: "Upload a version of a skill", form: z.object({ "files[]": fileParts }) },
  "skills.versions.retrieve": { summary: "Retrieve a version of a skill", description: "`latest` is a version too." },
  "skills.versions.list": { summary: "List the versions of a skill, newest first", query: skillVersionListQuerySchema },
  "skills.versions.delete": { summary: "Delete a version of a skill" },
  "skills.versions.download": { summary: "Download a version of a skill", media: "application/zip" },
  "models.list": { summary: "List the models that this server knows", query: modelListQuerySchema },
  "models.retrieve": { summary: "Retrieve a model" },
};

export interface OwnOperation extends OperationShape {
  method: HttpMethod;
  path: string;
}

const session = "/sandbox0/v1/sessions/{session_id}";
const own = (method: HttpMethod, path: string, shape: OperationShape): OwnOperation => ({ method, path, ...shape });

/** What this server adds: the official API has no word for it. */
export const OWN_OPERATIONS: Readonly<Record<string, OwnOperation>> = {
  "sandbox0.sessions.timeline": own("GET", `${session}/timeline`, {
    summary: "What a session did, and how long it took",
    query: pageQuerySchema,
    response: timelineSchema,
  }),
  "sandbox0.sessions.traces": own("GET", `${session}/traces`, {
    summary: "The timeline in OTLP's JSON form",
    query: pageQuerySchema,
    response: sessionTracesSchema,
  }),
  "sandbox0.sessions.egress": own("GET", `${session}/egress`, {
    summary: "What the sandboxes of a session sent out or tried to, newest first",
    query: pageQuerySchema,
    response: pageOf(egressRequestSchema),
  }),
  "sandbox0.sessions.snapshots.create": own("POST", `${session}/snapshots`, {
    summary: "Keep an idle session as it is",
    body: snapshotCreateParamsSchema,
    response: snapshotSchema,
  }),
  "sandbox0.sessions.snapshots.list": own("GET", `${session}/snapshots`, {
    summary: "List the snapshots of a session, newest first",
    query: pageQuerySchema,
    response: pageOf(snapshotSchema),
  }),
  "sandbox0.sessions.snapshots.retrieve": own("GET", `${session}/snapshots/{snapshot_id}`, {
    summary: "Retrieve a snapshot",
    response: snapshotSchema,
  }),
  "sandbox0.sessions.snapshots.delete": own("DELETE", `${session}/snapshots/{snapshot_id}`, {
    summary: "Delete a snapshot",
    response: deletedSchema("session_snapshot_deleted"),
  }),
  "sandbox0.sessions.fork": own("POST", `${session}/fork`, {
    summary: "Begin a new session from this one, conversation and files",
    body: sessionForkParamsSchema,
    response: sessionSchema,
  }),
  "sandbox0.sessions.restore": own("POST", `${session}/restore`, {
    summary: "Take a session back to a snapshot",
    body: sessionRestoreParamsSchema,
    response: sessionSchema,
  }),
  "sandbox0.attention": own("GET", "/sandbox0/v1/attention", {
    summary: "The sessions that need a person: those that wait for answers, and those in trouble",
    response: attentionSchema,
  }),
  "sandbox0.egress": own("GET", "/sandbox0/v1/egress", {
    summary: "What all sandboxes of the workspace sent out or tried to, newest first",
    description: "`host` stands for the hosts below it, too: `example.com` finds `api.example.com`.",
    query: egressListQuerySchema,
    response: pageOf(egressRequestSchema),
  }),
  "sandbox0.environments.build": own("GET", "/sandbox0/v1/environments/{environment_id}/build", {
    summary: "How far the packages of an environment are",
    response: environmentBuildSchema,
  }),
  "sandbox0.harnesses.list": own("GET", "/sandbox0/v1/harnesses", {
    summary: "List the harnesses of this server",
    response: harnessListSchema,
  }),
  "sandbox0.vaults.rotateKey": own("POST", "/sandbox0/v1/vaults/rotate_key", {
    summary: "Rotate the master key of all vaults",
    description: "Needs an admin key.",
    body: masterKeyRotateParamsSchema,
    response: masterKeyRotationSchema,
  }),
  "sandbox0.apiKeys.create": own("POST", "/sandbox0/v1/api_keys", {
    summary: "Create an API key",
    description: "The answer is the only one that has the key.",
    body: apiKeyCreateParamsSchema,
    response: createdApiKeySchema,
  }),
  "sandbox0.apiKeys.list": own("GET", "/sandbox0/v1/api_keys", {
    summary: "List API keys, newest first",
    response: apiKeyListSchema,
  }),
  "sandbox0.apiKeys.revoke": own("DELETE", "/sandbox0/v1/api_keys/{api_key_id}", {
    summary: "Revoke an API key; one with admin rights takes such a key (403 otherwise)",
    response: deletedSchema("api_key_deleted"),
  }),
};

const status = z.object({ status: z.string(), problem: z.string().optional() });
/** Without a key, and with nothing of any workspace inside. */
export const SYSTEM_OPERATIONS: Readonly<Record<string, OwnOperation>> = {
  "system.healthz": own("GET", "/healthz", { summary: "Whether the process lives", response: status }),
  "system.readyz": own("GET", "/readyz", { summary: "Whether the server can do its work; 503 says why not", response: status }),
  "system.metrics": own("GET", "/metrics", { summary: "Metrics for Prometheus", media: "text/plain" }),
  "system.llms": own("GET", "/llms.txt", { summary: "This server explained to agents", media: "text/plain" }),
  "system.openapi": own("GET", "/openapi.json", { summary: "This document", response: z.looseObject({ openapi: z.string() }) }),
};
