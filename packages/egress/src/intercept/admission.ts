import { EgressError } from "../egress-error.ts";
import { hostInUrl, hostMatchesAny, parseAuthority } from "../host.ts";
import type { AuditRow, PolicySource, RepositoryRule, SandboxPolicy } from "../port.ts";
import { type BoundSecret, createSubstitution, type RepositoryToken, type Substitution } from "../substitution/substitution.ts";
import type { ClientExchange, RequestHead } from "./exchange.ts";
import { repositoryAsked } from "./git-request.ts";
import type { InterceptorDeps, Target } from "./port.ts";

/** How requests reach a target. */
export interface Route {
  target: Target;
  scheme: "https" | "http";
  /** Whether secrets may go there. What comes back is looked through in any case. */
  putsSecretsIn: boolean;
}

/** Tokens that one response is looked through for. */
const TOKENS_COVERED_MAX = 16;
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
  const denial = denialFor(deps, policy, route, exchange);
  if (denial) throw denial;
  if (!policy) throw new EgressError("denied", "no_session", "No session has this sandbox.");
  const asked = repositoryAsked(policy, route, exchange);
  const [secrets, tokens] = await Promise.all([
    secretsFor(deps.policies, policy, route),
    tokensFor(deps.policies, policy, route, asked),
  ]);
  return createSubstitution(secrets, tokens);
}

/** Why this request may not go out now; `null`: it may. */
export function denialFor(
  { denialOf }: InterceptorDeps,
  policy: SandboxPolicy | null,
  route: Route,
  request: RequestHead,
): EgressError | null {
  const forGit = policy !== null && repositoryAsked(policy, route, request) !== null;
  return denialOf(policy, route.target.host, route.target.port, forGit);
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
  const secrets = await readSecrets(policies, target, rules);
  return secrets.map(([{ id, placeholder, inHeader, inBody }, secret]) => {
    return { id, placeholder, secret, inHeader: putsSecretsIn && inHeader, inBody: putsSecretsIn && inBody };
  });
}

/**
 * Of the session's repositories at the host, the one that is asked first: only its own is put in, all are for what comes back.
 * The session may have the same one at several places, with several tokens.
 */
async function tokensFor(
  policies: PolicySource,
  { repositories }: SandboxPolicy,
  { target }: Route,
  asked: RepositoryRule | null,
): Promise<RepositoryToken[]> {
  const isAsked = ({ host, port, path }: RepositoryRule): boolean =>
    host === asked?.host && port === asked.port && path === asked.path;
  const rules = repositories.filter(({ host }) => host === target.host);
  const inOrder = [...rules.filter(isAsked), ...rules.filter((rule) => !isAsked(rule))].slice(0, TOKENS_COVERED_MAX);
  const tokens = await readSecrets(policies, target, inOrder);
  return tokens.map(([rule, token]) => ({ id: rule.id, token, putIn: isAsked(rule) }));
}

/** Those that there are. */
async function readSecrets<T extends { id: string }>(
  policies: PolicySource,
  { sandboxId }: Target,
  rules: readonly T[],
): Promise<[T, string][]> {
  try {
    const secrets = await Promise.all(rules.map(({ id }) => policies.secretOf(sandboxId, id)));
    return rules.flatMap((rule, index): [T, string][] => {
      const secret = secrets[index] ?? null;
      return secret === null ? [] : [[rule, secret]];
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
