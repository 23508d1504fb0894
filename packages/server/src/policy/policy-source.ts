import type { PolicySource } from "@sandbox0/egress";
import type { SessionPolicies } from "./session-policies.ts";

/**
 * What the egress gateway may ask, by sandbox. Whose sandbox it is, the pool of this node says at each question: a sandbox
 * that nobody has claimed has no policy, and a claimed one has its session's at once.
 */
export function createPolicySource(policies: SessionPolicies, sessionOf: (sandboxId: string) => string | null): PolicySource {
  return {
    async policyOf(sandboxId) {
      const sessionId = sessionOf(sandboxId);
      return sessionId === null ? null : policies.of(sessionId);
    },
    async secretOf(sandboxId, credentialId) {
      const sessionId = sessionOf(sandboxId);
      return sessionId === null ? null : policies.secretOf(sessionId, credentialId);
    },
  };
}
