/** Rows of a form that a person adds and takes out. `id` tells React which one it is. */
export interface Row {
  id: number;
}

export const nextId = (rows: readonly Row[]): number => Math.max(-1, ...rows.map((row) => row.id)) + 1;
export const change = <R extends Row>(rows: readonly R[], id: number, patch: Partial<R>): R[] =>
  rows.map((row) => (row.id === id ? { ...row, ...patch } : row));
export const without = <R extends Row>(rows: readonly R[], id: number): R[] => rows.filter((row) => row.id !== id);
