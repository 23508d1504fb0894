import { invalidRequest } from "@sandbox0/protocol";

export interface TimeFilter {
  gt?: Date | undefined;
  gte?: Date | undefined;
  lt?: Date | undefined;
  lte?: Date | undefined;
}

/**
 * A page can only go on where its `created_at` filter still reaches (semantics §1).
 * @param at where the cursor stands; `null`: at something without a time, which no such filter shows
 * @throws ApiError
 */
export function refuseOutside(at: Date | null, { gt, gte, lt, lte }: TimeFilter): void {
  const isFiltered = Boolean(gt ?? gte ?? lt ?? lte);
  if (!isFiltered) return;
  const isInside = at !== null && !(gt && at <= gt) && !(gte && at < gte) && !(lt && at >= lt) && !(lte && at > lte);
  if (!isInside) throw invalidRequest("page: This cursor lies outside the created_at filter");
}
