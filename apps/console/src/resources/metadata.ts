/** One pair of a form. `key` tells React which one it is. */
export interface MetadataRow {
  id: number;
  key: string;
  value: string;
}

/** The pairs of a form, without those that have fields of their own. */
export function metadataRows(metadata: Readonly<Record<string, string>>, own: readonly string[] = []): MetadataRow[] {
  return Object.entries(metadata)
    .filter(([key]) => !own.includes(key))
    .map(([key, value], id) => ({ id, key, value }));
}

/** Rows without a key say nothing; `own` are values of fields of their own, left out when empty. */
export function metadataOf(rows: readonly MetadataRow[], own: Readonly<Record<string, string>> = {}): Record<string, string> {
  const pairs = rows.map(({ key, value }) => [key.trim(), value] as const).filter(([key]) => key !== "");
  const extra = Object.entries(own).filter(([, value]) => value.trim() !== "");
  return Object.fromEntries([...pairs, ...extra]);
}

/** What makes `before` into `after`; a key that is gone is `null` (contract §1.10). */
export function metadataPatch(
  before: Readonly<Record<string, string>>,
  after: Readonly<Record<string, string>>,
): Record<string, string | null> {
  const removed = Object.keys(before).filter((key) => !(key in after));
  const changed = Object.entries(after).filter(([key, value]) => before[key] !== value);
  return Object.fromEntries<string | null>([...removed.map((key) => [key, null] as const), ...changed]);
}
