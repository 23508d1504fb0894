import { PAGE_SIZE_DEFAULT, type Page, decodeCursor, encodeCursor, invalidRequest } from "@sandbox0/protocol";
import { pageOfRecords } from "./list-page.ts";

/** The parameters that such lists have; each has some of them. */
export interface NewestFirstQuery {
  limit?: number | undefined;
  page?: string | undefined;
  include_archived?: boolean | undefined;
  "created_at[gte]"?: Date | undefined;
  "created_at[lte]"?: Date | undefined;
}

export interface NewestFirstFilter {
  includeArchived: boolean;
  createdAtMin: Date | undefined;
  createdAtMax: Date | undefined;
  /** Only what comes after this one, newest first. */
  after: { createdAt: Date; id: string } | undefined;
  limit: number;
}

interface Created {
  createdAt: Date;
  id: string;
}

/**
 * One page of a list that is ordered by creation, newest first, with the id to break ties.
 * @throws ApiError when the cursor is not one of this list, or lies outside the filter
 */
export async function newestFirst<R extends Created, T>(
  list: string,
  query: NewestFirstQuery,
  read: (filter: NewestFirstFilter) => Promise<R[]>,
  show: (record: R) => T,
): Promise<Page<T>> {
  const limit = query.limit ?? PAGE_SIZE_DEFAULT;
  const after = query.page === undefined ? undefined : placeOf(query.page, list);
  if (after) requireInside(after.createdAt, query);
  const records = await read({
    includeArchived: query.include_archived ?? false,
    createdAtMin: query["created_at[gte]"],
    createdAtMax: query["created_at[lte]"],
    after,
    limit: limit + 1,
  });
  return pageOfRecords(records, limit, show, (last) => cursorAt(list, last));
}

function cursorAt(list: string, last: Created): string {
  return encodeCursor({ list, order: "desc", key: [last.createdAt.getTime(), last.id] });
}

function placeOf(page: string, list: string): Created {
  const [time, id] = decodeCursor(page, { list, order: "desc", key: ["time", "id"] }).key;
  return { createdAt: new Date(Number(time)), id: String(id) };
}

/** @throws ApiError when the filter leaves the place out where a page begins (semantics §1) */
export function requireInside(
  place: Date,
  query: { "created_at[gte]"?: Date | undefined; "created_at[lte]"?: Date | undefined },
): void {
  const min = query["created_at[gte]"];
  const max = query["created_at[lte]"];
  if ((min && place < min) || (max && place > max)) throw invalidRequest("page: This cursor lies outside the created_at filter");
}
