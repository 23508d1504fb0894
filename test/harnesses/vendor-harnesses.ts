import type { AgentCreateParams } from "@anthropic-ai/sdk/resources/beta/agents/agents";

/** The harnesses that are a vendor's program in the session's sandbox, with a model that fits each. */
export const VENDOR_HARNESSES = [
  { name: "claude", model: "claude-sonnet-5-5" },
  { name: "codex", model: "gpt-5.4-mini" },
] as const;

export type VendorHarness = (typeof VENDOR_HARNESSES)[number];

/** What makes an agent of the harness. */
export function agentOn({ name, model }: VendorHarness): Pick<AgentCreateParams, "model" | "metadata"> {
  return { model, metadata: { "sandbox0.harness": name } };
}
