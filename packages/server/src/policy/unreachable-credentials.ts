import type { SessionError } from "@sandbox0/protocol";
import type { Queryable } from "../store/query.ts";
import { readReportedCredentials, readVaultsOf } from "../store/session-policies.ts";
import { isCovered } from "../domain/host-patterns.ts";
import type { SessionPolicies } from "./session-policies.ts";

/**
 * Credentials of the session that name hosts which its environment does not permit (semantics §10): each is said once in a
 * session's life, and the session goes on.
 */
export async function findUnreachableCredentials(
  db: Queryable,
  policies: SessionPolicies,
  sessionId: string,
): Promise<SessionError[]> {
  const policy = await policies.of(sessionId);
  if (policy === null) return [];
  const { networking } = policy;
  const isPermitted = (host: string): boolean =>
    networking.type === "limited" ? isCovered(host, networking.allowedHosts) : !isCovered(host, networking.blockedHosts);
  const unreachable = policy.credentials.flatMap(({ id, hosts }) => {
    const shut = (hosts ?? []).filter((host) => !isPermitted(host));
    return shut.length > 0 ? [{ id, shut }] : [];
  });
  if (unreachable.length === 0) return [];
  const reported = new Set(await readReportedCredentials(db, sessionId));
  const news = unreachable.filter(({ id }) => !reported.has(id));
  const vaults = await readVaultsOf(
    db,
    news.map(({ id }) => id),
  );
  return news.flatMap(({ id, shut }) => {
    const vaultId = vaults.get(id);
    // Deleted a moment ago.
    if (vaultId === undefined) return [];
    const message = `The environment's network policy does not permit ${shut.join(", ")}: credential ${id} is not put in there.`;
    return [
      {
        type: "credential_host_unreachable_error" as const,
        credential_id: id,
        vault_id: vaultId,
        message,
        retry_status: { type: "retrying" as const },
      },
    ];
  });
}
