import { z } from "zod";
import { modelIdSchema } from "./model-config.ts";

/** Who else an agent may set to work (contract §3.3, §3.4). Depth is one: a roster agent has no roster. */
export const ROSTER_MAX = 20;

const agentId = z.string().min(1);
export const agentParamsSchema = z.object({ type: z.literal("agent"), id: agentId, version: z.int().min(1).optional() });
const selfParams = z.object({ type: z.literal("self") });
const advisorParams = z.object({ type: z.literal("advisor"), model: modelIdSchema });
export const rosterEntryParamsSchema = z.union([
  agentId,
  z.discriminatedUnion("type", [agentParamsSchema, selfParams, advisorParams]),
]);
export type RosterEntryParams = z.infer<typeof rosterEntryParamsSchema>;
export const predefinedAgentParamsSchema = z.union([agentId, z.discriminatedUnion("type", [agentParamsSchema, selfParams])]);
export type PredefinedAgentParams = z.infer<typeof predefinedAgentParamsSchema>;

export const coordinatorParamsSchema = z.object({
  type: z.literal("coordinator"),
  agents: z.array(rosterEntryParamsSchema).min(1).max(ROSTER_MAX),
});

const disabled = z.object({ type: z.literal("disabled") });
const toggle = z.discriminatedUnion("type", [z.object({ type: z.literal("enabled") }), disabled]);
const advisor = z.discriminatedUnion("type", [z.object({ type: z.literal("enabled"), model: modelIdSchema }), disabled]);
const spawningParams = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("enabled"),
    inline_agents: toggle.nullish(),
    predefined_agents: z.array(predefinedAgentParamsSchema).max(ROSTER_MAX).nullish(),
  }),
  disabled,
]);
export type SpawningParams = z.infer<typeof spawningParams>;
export const multiagent20261001ParamsSchema = z.object({
  type: z.literal("multiagent_20261001"),
  advisor: advisor.nullish(),
  subagents: spawningParams.nullish(),
  workflows: spawningParams.nullish(),
});
export const multiagentParamsSchema = z.discriminatedUnion("type", [coordinatorParamsSchema, multiagent20261001ParamsSchema]);
export type MultiagentParams = z.infer<typeof multiagentParamsSchema>;
export type Multiagent20261001Params = z.infer<typeof multiagent20261001ParamsSchema>;

// --- resolved --------------------------------------------------------------------------------------------------------

export const agentReferenceSchema = z.object({ type: z.literal("agent"), id: z.string(), version: z.int() });
export type AgentReference = z.infer<typeof agentReferenceSchema>;
const advisorEntry = z.object({ type: z.literal("advisor"), model: z.string() });

/** The same shape twice: with references in an agent, with whole agents in a session's snapshot. */
export function multiagentOf<A extends z.ZodObject<{ type: z.ZodLiteral<"agent"> } & z.core.$ZodShape>>(agent: A) {
  const spawning = z.discriminatedUnion("type", [
    z.object({ type: z.literal("enabled"), inline_agents: toggle, predefined_agents: z.array(agent) }),
    disabled,
  ]);
  return z.discriminatedUnion("type", [
    z.object({ type: z.literal("coordinator"), agents: z.array(z.discriminatedUnion("type", [agent, advisorEntry])) }),
    z.object({ type: z.literal("multiagent_20261001"), advisor, subagents: spawning, workflows: spawning }),
  ]);
}
export const multiagentSchema = multiagentOf(agentReferenceSchema);
export type Multiagent = z.infer<typeof multiagentSchema>;
export type Multiagent20261001 = Extract<Multiagent, { type: "multiagent_20261001" }>;
export type Spawning = Multiagent20261001["subagents"];
