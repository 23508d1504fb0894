import type * as Agents from "@anthropic-ai/sdk/resources/beta/agents/agents";
import type * as Environments from "@anthropic-ai/sdk/resources/beta/environments/environments";
import type * as Memories from "@anthropic-ai/sdk/resources/beta/memory-stores/memories";
import type * as MemoryStores from "@anthropic-ai/sdk/resources/beta/memory-stores/memory-stores";
import type * as MemoryVersions from "@anthropic-ai/sdk/resources/beta/memory-stores/memory-versions";
import type * as Files from "@anthropic-ai/sdk/resources/beta/files";
import type { BetaModelInfo } from "@anthropic-ai/sdk/resources/beta/models";
import type * as Events from "@anthropic-ai/sdk/resources/beta/sessions/events";
import type * as Resources from "@anthropic-ai/sdk/resources/beta/sessions/resources";
import type * as Sessions from "@anthropic-ai/sdk/resources/beta/sessions/sessions";
import type * as Threads from "@anthropic-ai/sdk/resources/beta/sessions/threads/threads";
import type * as Skills from "@anthropic-ai/sdk/resources/beta/skills/skills";
import type * as SkillVersions from "@anthropic-ai/sdk/resources/beta/skills/versions";
import type * as Credentials from "@anthropic-ai/sdk/resources/beta/vaults/credentials";
import type * as Vaults from "@anthropic-ai/sdk/resources/beta/vaults/vaults";
import type * as GaFiles from "@anthropic-ai/sdk/resources/files";
import type * as OldFiles from "anthropic-sdk-0-86/resources/beta/files";
import { expect, test } from "vitest";
import type { z } from "zod";
import type {
  Agent,
  SessionAgent,
  SessionThreadAgent,
  agentCreateParamsSchema,
  agentUpdateParamsSchema,
  inlineAgentSchema,
} from "./agents.ts";
import type { Environment, environmentCreateParamsSchema, environmentUpdateParamsSchema } from "./environments.ts";
import type { EventFilterType, SessionEvent, StreamPreview, eventParamsSchema, userEventSchemas } from "./events.ts";
import type { Memory, MemoryListItem, memoryCreateParamsSchema, memoryUpdateParamsSchema } from "./memories.ts";
import type { MemoryStore, memoryStoreCreateParamsSchema, memoryStoreUpdateParamsSchema } from "./memory-stores.ts";
import type { MemoryVersion } from "./memory-versions.ts";
import type { FileMetadata, LegacyFileMetadata } from "./files.ts";
import type { ModelInfo } from "./models.ts";
import type { SessionResource } from "./session-resources.ts";
import type { Session, Thread, sessionCreateParamsSchema, sessionUpdateParamsSchema } from "./sessions.ts";
import type { SkillInfo, SkillVersionInfo } from "./skills.ts";
import type {
  Credential,
  CredentialValidation,
  Vault,
  credentialCreateParamsSchema,
  credentialUpdateParamsSchema,
  vaultCreateParamsSchema,
  vaultUpdateParamsSchema,
} from "./vaults.ts";

/**
 * The schemas against the types of `@anthropic-ai/sdk` 1.12.0. A difference is an error of `tsc`, not of vitest: what a
 * client may send must be accepted, and what we answer must be the official type, both ways.
 */

/**
 * Where two types differ, as a union of paths; `never` where they do not. Plain assignability would not do: the compiler
 * stops comparing recursive types after three levels, and an optional key that one side lacks is no error to it.
 */
type Diff<A, B, P extends string = ""> =
  | (Mutual<Plain<A>, Plain<B>> extends true ? never : P)
  | DiffArray<Extract<A, readonly unknown[]>, Extract<B, readonly unknown[]>, P>
  | DiffObject<Exclude<Composite<A>, readonly unknown[]>, Exclude<Composite<B>, readonly unknown[]>, P>;
// `string & {}`, which keeps a union of literals open, is a string to us and an object to `Exclude`.
type Plain<T> = T extends string ? T : Exclude<T, object>;
type Composite<T> = T extends string ? never : Extract<T, object>;
type Mutual<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
type DiffArray<A extends readonly unknown[], B extends readonly unknown[], P extends string> = [A | B] extends [never]
  ? never
  : [A] extends [never]
    ? P
    : [B] extends [never]
      ? P
      : Diff<A[number], B[number], `${P}[]`>;
/** A union is compared member by member under its tag, `type`. */
type DiffObject<A, B, P extends string> = [A | B] extends [never]
  ? never
  : [A] extends [{ type: infer TA extends string }]
    ? [B] extends [{ type: infer TB extends string }]
      ? Mutual<TA, TB> extends true
        ? { [T in TA]: DiffFields<Extract<A, { type: T }>, Extract<B, { type: T }>, `${P}<${T}>`> }[TA]
        : `${P}.type`
      : P
    : DiffFields<A, B, P>;
type OptionalKeys<T> = { [K in keyof T]-?: object extends Pick<T, K> ? K : never }[keyof T];
type DiffFields<A, B, P extends string> =
  Mutual<Extract<keyof A, string>, Extract<keyof B, string>> extends true
    ? Mutual<Extract<OptionalKeys<A>, string>, Extract<OptionalKeys<B>, string>> extends true
      ? { [K in keyof A & keyof B & string]: Diff<Exclude<A[K], undefined>, Exclude<B[K], undefined>, `${P}.${K}`> }[keyof A &
          keyof B &
          string]
      : `${P}: optional keys`
    : `${P}: keys`;
type Same<Ours, Official> = [Diff<Ours, Official>] extends [never] ? true : { differsAt: Diff<Ours, Official> };

/** JSON has no `undefined`: an optional key is there or not. */
type Wire<T> = T extends string
  ? T
  : T extends readonly (infer U)[]
    ? Wire<U>[]
    : T extends object
      ? { [K in keyof T]: Wire<Exclude<T[K], undefined>> }
      : T;

/** Headers are no part of the body. */
type Body<T> = Omit<T, "betas" | "workspace_id">;
type Accepts<S extends z.ZodType, Official> = [Wire<Official>] extends [z.input<S>]
  ? true
  : { notAccepted: Exclude<Wire<Official>, z.input<S>> };

const check = <T extends true>(..._proof: T[]): void => undefined;

test("responses are the official types, both ways", () => {
  check<Same<Agent, Agents.BetaManagedAgentsAgent>>();
  check<Same<SessionAgent, Sessions.BetaManagedAgentsSessionAgent>>();
  check<Same<SessionThreadAgent, Agents.BetaManagedAgentsSessionThreadAgent>>();
  check<Same<z.infer<typeof inlineAgentSchema>, Threads.BetaManagedAgentsInlineAgent>>();
  check<Same<Environment, Environments.BetaEnvironment>>();
  check<Same<Session, Sessions.BetaManagedAgentsSession>>();
  check<Same<SessionResource, Resources.BetaManagedAgentsSessionResource>>();
  check<Same<Thread, Threads.BetaManagedAgentsSessionThread>>();
  check<Same<FileMetadata, Files.BetaFileMetadata>>();
  // A client of `client.files` does not know of scopes; it finds everything it knows of.
  check<Same<Omit<FileMetadata, "scope">, GaFiles.FileMetadata>>();
  check<Same<LegacyFileMetadata, OldFiles.FileMetadata>>();
  check<Same<ModelInfo, BetaModelInfo>>();
  check<Same<Vault, Vaults.BetaManagedAgentsVault>>();
  check<Same<Credential, Credentials.BetaManagedAgentsCredential>>();
  check<Same<MemoryStore, MemoryStores.BetaManagedAgentsMemoryStore>>();
  check<Same<Memory, Memories.BetaManagedAgentsMemory>>();
  check<Same<MemoryListItem, Memories.BetaManagedAgentsMemoryListItem>>();
  check<Same<MemoryVersion, MemoryVersions.BetaManagedAgentsMemoryVersion>>();
  check<Same<SkillInfo, Skills.BetaSkill>>();
  check<Same<SkillVersionInfo, SkillVersions.BetaSkillVersion>>();
  check<Same<CredentialValidation, Credentials.BetaManagedAgentsCredentialValidation>>();
});

test("events are the official types, each of them and all together", () => {
  check<Same<SessionEvent["type"], Events.BetaManagedAgentsSessionEvent["type"]>>();
  check<Same<EventFilterType, Events.BetaManagedAgentsSessionEventType>>();
  check<EventsMatch>();
  check<Same<StreamPreview, Extract<Events.BetaManagedAgentsStreamSessionEvents, { type: "event_start" | "event_delta" }>>>();
  check<Same<SentEvent["type"], NonNullable<Events.BetaManagedAgentsSendSessionEvents["data"]>[number]["type"]>>();
});
type SentEvent = z.infer<(typeof userEventSchemas)[number]>;
type EventMatches<T extends SessionEvent["type"]> = Same<
  Extract<SessionEvent, { type: T }>,
  Extract<Events.BetaManagedAgentsSessionEvent, { type: T }>
>;
type EventsMatch = { [T in SessionEvent["type"]]: EventMatches<T> }[SessionEvent["type"]];

test("what the SDK can send is accepted", () => {
  check<Accepts<typeof agentCreateParamsSchema, Body<Agents.AgentCreateParams>>>();
  check<Accepts<typeof agentUpdateParamsSchema, Body<Agents.AgentUpdateParams>>>();
  check<Accepts<typeof environmentCreateParamsSchema, Omit<Body<Environments.EnvironmentCreateParams>, "scope">>>();
  check<Accepts<typeof environmentUpdateParamsSchema, Omit<Body<Environments.EnvironmentUpdateParams>, "scope">>>();
  check<Accepts<typeof sessionCreateParamsSchema, Omit<Body<Sessions.SessionCreateParams>, "initial_events">>>();
  check<Accepts<typeof sessionUpdateParamsSchema, Omit<Body<Sessions.SessionUpdateParams>, "vault_ids">>>();
  check<Accepts<typeof vaultCreateParamsSchema, Body<Vaults.VaultCreateParams>>>();
  check<Accepts<typeof vaultUpdateParamsSchema, Body<Vaults.VaultUpdateParams>>>();
  check<Accepts<typeof credentialCreateParamsSchema, Body<Credentials.CredentialCreateParams>>>();
  check<Accepts<typeof credentialUpdateParamsSchema, Omit<Body<Credentials.CredentialUpdateParams>, "vault_id">>>();
  check<Accepts<typeof memoryStoreCreateParamsSchema, Body<MemoryStores.MemoryStoreCreateParams>>>();
  check<Accepts<typeof memoryStoreUpdateParamsSchema, Body<MemoryStores.MemoryStoreUpdateParams>>>();
  check<Accepts<typeof memoryCreateParamsSchema, Omit<Body<Memories.MemoryCreateParams>, "view">>>();
  check<Accepts<typeof memoryUpdateParamsSchema, Omit<Body<Memories.MemoryUpdateParams>, "memory_store_id" | "view">>>();
  check<Accepts<typeof eventParamsSchema, Exclude<Events.BetaManagedAgentsEventParams, { type: "user.message" }>>>();
});

test("this file is a compile-time check", () => {
  expect(check).toBeTypeOf("function");
});
