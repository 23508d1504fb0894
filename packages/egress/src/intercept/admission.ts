import { EgressError } from "../egress-error.ts";
import { hostInUrl, hostMatchesAny, parseAuthority } from "../host.ts";
import type { AuditRow, PolicySource, SandboxPolicy } from "../port.ts";
import { type BoundSecret, createSubstitution, type Substitution } from "../substitution/substitution.ts";
import type { ClientExchange } from "./exchange.ts";
import type { InterceptorDeps, Target } from "./port.ts";

/** How requests reach a target. */
export interface Route {
  target: Target;
  scheme: "https" | "http";
  /** Whether secrets may go there. What comes back is looked through in any case. */
  putsSecretsIn: boolean;
}

const DEFAULT_PORTS = { https: 443, http: 80 };

/** The target as `Host` and `:authority` name it. */
export function authorityOf({ target, scheme }: Route): string {
  const host = hostInUrl(target.host);
  return target.port === DEFAULT_PORTS[scheme] ? host : `${host}:${target.port}`;
}

/**
 * Asks the policy of now whether a request may go out, and for the secrets that go with it. `row` learns whose it is. Throws
 * an `EgressError` when it may not, or when nobody can say.
 */
export async function admit(deps: InterceptorDeps, route: Route, exchange: ClientExchange, row: AuditRow): Promise<Substitution> {
  const { target } = route;
  if (exchange.malformed !== null) throw malformed(exchange.malformed);
  if (exchange.authorities.length === 0 || !exchange.authorities.every((text) => namesTarget(text, route))) {
    throw new EgressError("denied", "host_mismatch", `This connection is for ${authorityOf(route)} and for no other host.`, 421);
  }
  const policy = await readPolicy(deps.policies, target.sandboxId);
  row.workspaceId = policy?.workspaceId ?? null;
  row.sessionId = policy?.sessionId ?? null;
  const denial = deps.denialOf(policy, target.host, target.port);
  if (denial) throw denial;
  if (!policy) throw new EgressError("denied", "no_session", "No session has this sandbox.");
  return createSubstitution(await secretsFor(deps.policies, policy, route));
}

export function malformed(why: string): EgressError {
  return new EgressError("denied", `malformed_${why}`, "The gateway does not pass on a request that is written like this.", 400);
}

/** Throws an `EgressError` when the source cannot say. */
export async function readPolicy(policies: PolicySource, sandboxId: string): Promise<SandboxPolicy | null> {
  try {
    return await policies.policyOf(sandboxId);
  } catch {
    // What the source says is for its own log; whoever cannot be asked has not allowed anything.
    throw new EgressError(
      "failed",
      "policy_unavailable",
      "The network policy of this session cannot be read now; try again.",
      503,
    );
  }
}

async function secretsFor(policies: PolicySource, policy: SandboxPolicy, route: Route): Promise<BoundSecret[]> {
  const { target, putsSecretsIn } = route;
  const rules = policy.credentials.filter(({ hosts }) => hosts === null || hostMatchesAny(hosts, target.host));
  try {
    const secrets = await Promise.all(rules.map(({ id }) => policies.secretOf(target.sandboxId, id)));
    return rules.flatMap(({ id, placeholder, inHeader, inBody }, index) => {
      const secret = secrets[index] ?? null;
      return secret === null
        ? []
        : [{ id, placeholder, secret, inHeader: putsSecretsIn && inHeader, inBody: putsSecretsIn && inBody }];
    });
  } catch {
    // Its text might hold what it was asked for.
    throw new EgressError("failed", "secret_unavailable", "A credential for this host cannot be read now; try again.", 503);
  }
}

/** A port may be left out; one that is there is the target's. */
function namesTarget(text: string, { target }: Route): boolean {
  const named = parseAuthority(text, target.port);
  return named !== null && named.host.text === target.host && named.port === target.port;
}
