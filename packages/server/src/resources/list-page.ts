import type { Page } from "@sandbox0/protocol";

/** One page of a list, of records of which one more than `limit` was asked for: it says whether there is a next page. */
export function pageOfRecords<R, T>(
  records: readonly R[],
  limit: number,
  show: (record: R) => T,
  cursorAt: (last: R) => string,
): Page<T> {
  const page = records.slice(0, limit);
  const last = records.length > limit ? page.at(-1) : undefined;
  return { data: page.map(show), next_page: last ? cursorAt(last) : null };
}
