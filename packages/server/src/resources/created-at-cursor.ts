import { decodeCursor, encodeCursor } from "@sandbox0/protocol";

/** The cursor of a list that is ordered by creation, newest first, with the id to break ties. */
export function cursorAt(list: string, last: { createdAt: Date; id: string }): string {
  return encodeCursor({ list, order: "desc", key: [last.createdAt.getTime(), last.id] });
}

/** @throws ApiError when the cursor is not one of this list */
export function placeOf(page: string, list: string): { createdAt: Date; id: string } {
  const [time, id] = decodeCursor(page, { list, order: "desc", key: ["time", "id"] }).key;
  return { createdAt: new Date(Number(time)), id: String(id) };
}
