import { hostMatches } from "@sandbox0/egress";
import type { ClaimedSandbox, Equipment, SandboxMount } from "@sandbox0/sandbox";
import { type RepositoryRemote, remoteOf } from "../../domain/repository-remote.ts";
import type { SessionPolicies } from "../../policy/session-policies.ts";
import type { ResourceTokens } from "../../resources/vaults/resource-tokens.ts";
import type { Database } from "../../store/pool.ts";
import { listSessionRepositories, type SessionRepository, writeRepositoryOutcome } from "../../store/session-repositories.ts";
import type { ProvisionPart, ProvisionSession } from "../port.ts";
import { askRepository } from "./ask-repository.ts";
import { cloneRepository, findClone } from "./clone-repository.ts";
import type { Mirrors } from "./mirrors.ts";
import { type RepositoryFailure, repositoryError } from "./repository-failure.ts";
import { repositoryNotes } from "./repository-notes.ts";

/** Where a sandbox sees mirrors, one a repository, while it is the one that clones. */
const MIRRORS_AT = "/run/sandbox0/mirrors";
/** Sessions without repositories. */
const REMEMBERED_MAX = 10_000;
/** Repositories of one session that are asked for, or cloned, at the same time. */
const AT_ONCE_MAX = 4;

export interface RepositoriesPartDeps {
  db: Database;
  policies: Pick<SessionPolicies, "of">;
  tokens: Pick<ResourceTokens, "open">;
  /** The server's own, which goes only where it may. */
  fetch: (url: string, init: RequestInit) => Promise<Response>;
  /** Where sandboxes may connect to. */
  ports: readonly number[];
  mirrors: Mirrors;
}

/** A repository that its server gives to the session, and where the sandbox has a mirror of it. */
interface Prepared {
  failure: RepositoryFailure | null;
  mirror: string | null;
}

/**
 * Repositories of a session (`github_repository`, semantics §12): cloned by git in the session's sandbox before the first model
 * request, through the gateway that has their tokens. One that cannot be had is tried again in each turn.
 */
export function createRepositoriesPart(deps: RepositoriesPartDeps): ProvisionPart {
  /** Between the start of a sandbox and its use by the same claim. */
  const prepared = new WeakMap<ProvisionSession, Map<string, Prepared>>();
  const listOf = createList(deps.db);
  const listMissing = async (sessionId: string): Promise<SessionRepository[]> => (await listOf(sessionId)).filter(isMissing);
  return {
    name: "repositories",
    async isEager({ sessionId }) {
      return (await listMissing(sessionId)).length > 0;
    },
    async equip(session) {
      const missing = await listMissing(session.sessionId);
      if (missing.length === 0) return null;
      const found = new Map<string, Prepared>();
      const mounts: SandboxMount[] = [];
      await eachOf(missing, async ({ resourceId, config }) => {
        const remote = remoteOf(config.url);
        const failure = await findFailure(deps, session, resourceId, remote);
        // Only now that its own token was shown to have access.
        const source = failure === null ? deps.mirrors.use(userOf(session, remote)) : null;
        const at = `${MIRRORS_AT}/${resourceId}`;
        if (source !== null) mounts.push({ source, at, writable: false });
        found.set(resourceId, { failure, mirror: source === null ? null : at });
      });
      prepared.set(session, found);
      return mounts.length === 0 ? null : ({ mounts, layers: [] } satisfies Equipment);
    },
    async ready(session, claimed) {
      const missing = await listMissing(session.sessionId);
      const known = prepared.get(session);
      prepared.delete(session);
      await eachOf(missing, (repository) => provide(deps, session, claimed, repository, known?.get(repository.resourceId)));
    },
    async notes({ sessionId }) {
      return repositoryNotes(await listOf(sessionId));
    },
  };
}

const isMissing = ({ state }: SessionRepository): boolean => state.type !== "there";

/** Repositories are given to a session when it is made: one that has none, as most have, need not be asked again. */
function createList(db: Database): (sessionId: string) => Promise<SessionRepository[]> {
  const without = new Set<string>();
  return async (sessionId) => {
    if (without.has(sessionId)) return [];
    const list = await listSessionRepositories(db.reads, sessionId);
    if (list.length > 0) return list;
    without.add(sessionId);
    const [oldest] = without;
    if (without.size > REMEMBERED_MAX && oldest !== undefined) without.delete(oldest);
    return list;
  };
}

async function provide(
  deps: RepositoriesPartDeps,
  session: ProvisionSession,
  { sandbox }: ClaimedSandbox,
  { resourceId, config }: SessionRepository,
  known: Prepared | undefined,
): Promise<void> {
  const remote = remoteOf(config.url);
  const order = { resourceId, config, remote };
  const failure = known ? known.failure : await findFailure(deps, session, resourceId, remote);
  // A fork has what its session had, whatever its server says now.
  const found = failure === null ? null : await findClone(sandbox, config.mount_path, remote.url, session.signal);
  let outcome = found ?? failure ?? (await cloneRepository(sandbox, { ...order, mirror: known?.mirror ?? null }, session.signal));
  if ("problem" in outcome && outcome.problem === "repository_clone_error" && known?.mirror && !session.signal.aborted) {
    deps.mirrors.drop(userOf(session, remote));
    outcome = await cloneRepository(sandbox, { ...order, mirror: null }, session.signal);
  }
  // The turn has ended under it: nothing is known.
  if (session.signal.aborted) return;
  if (!("problem" in outcome)) return writeRepositoryOutcome(deps.db, resourceId, outcome);
  await writeRepositoryOutcome(deps.db, resourceId, { problem: outcome.problem });
  await session.report(repositoryError(config.url, config.mount_path, outcome));
}

/** What is in the way of having the repository, as its server and the policy of the session say; `null`: nothing. */
async function findFailure(
  { policies, tokens, fetch, ports }: RepositoriesPartDeps,
  session: ProvisionSession,
  resourceId: string,
  remote: RepositoryRemote,
): Promise<RepositoryFailure | null> {
  const refused = (why: string): RepositoryFailure => ({ problem: "repository_clone_error", why });
  if (!ports.includes(remote.port)) return refused(`port ${remote.port} is closed to sandboxes`);
  const policy = await policies.of(session.sessionId);
  if (policy === null) return refused("this session has no network policy");
  const { networking } = policy;
  if (networking.type === "unrestricted" && networking.blockedHosts.some((rule) => hostMatches(rule, remote.host)))
    return refused(`${remote.host} is on this server's blocklist`);
  const token = await tokens.open(resourceId);
  return askRepository(fetch, { remote, token }, session.signal);
}

function userOf({ sessionId, workspaceId }: ProvisionSession, { url }: RepositoryRemote) {
  return { sessionId, workspaceId, url };
}

/** A few at a time; nothing of it goes on when this is over. Throws what the first one threw that failed. */
async function eachOf<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const lane = async (): Promise<void> => {
    try {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) await work(next);
    } finally {
      queue.length = 0;
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: AT_ONCE_MAX }, lane));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}
