import type { EgressRequest } from "@sandbox0/protocol";

/** The filters of the egress audit, as the address has them. */
export interface EgressSearch {
  session?: string;
  host?: string;
  verdict?: EgressRequest["verdict"];
}

export const VERDICTS: readonly EgressRequest["verdict"][] = ["allowed", "denied", "failed"];

export function egressSearch(search: Record<string, unknown>): EgressSearch {
  const verdict = VERDICTS.find((each) => each === search.verdict);
  return {
    ...(typeof search.session === "string" && search.session !== "" && { session: search.session }),
    ...(typeof search.host === "string" && search.host !== "" && { host: search.host }),
    ...(verdict && { verdict }),
  };
}

/** What an address with some filters changed has; those that say nothing are left out. */
export function changedSearch(search: EgressSearch, patch: { [K in keyof EgressSearch]?: string }): EgressSearch {
  return egressSearch({ ...search, ...patch });
}
