import type { PolicySource } from "@sandbox0/egress";
import type { EnvironmentPolicies } from "./environment-policies.ts";
import type { SessionPolicies } from "./session-policies.ts";

/** Of sandboxes that are no session's and prepare an environment. */
export interface PreparingSandboxes {
  policies: EnvironmentPolicies;
  environmentOf(sandboxId: string): string | null;
}

/**
 * What the egress gateway may ask, by sandbox. Whose sandbox it is, the pool of this node says at each question: a sandbox
 * that nobody has claimed has no policy, and a claimed one has its session's at once.
 */
export function createPolicySource(
  policies: SessionPolicies,
  sessionOf: (sandboxId: string) => string | null,
  preparing: PreparingSandboxes,
): PolicySource {
  return {
    async policyOf(sandboxId) {
      const sessionId = sessionOf(sandboxId);
      if (sessionId !== null) return policies.of(sessionId);
      const environmentId = preparing.environmentOf(sandboxId);
      return environmentId === null ? null : preparing.policies.of(environmentId);
    },
    async secretOf(sandboxId, credentialId) {
      const sessionId = sessionOf(sandboxId);
      return sessionId === null ? null : policies.secretOf(sessionId, credentialId);
    },
  };
}
