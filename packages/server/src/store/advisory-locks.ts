/**
 * Keys of Postgres's advisory locks, in one place so that no two meet. Single keys are int8; a class is an int4 with an int4
 * beside it. They are shared by every version that may run on one database: never change a number.
 */
export const ADVISORY_LOCKS = {
  /** Servers that start at once migrate one after the other. */
  migration: 7_239_016_442,
  /** In the `postgres` database of an embedded cluster: shared by each server that uses it, exclusive for the one that stops it. */
  tenancy: 7_239_016_441,
  /** Class of the living nodes; the second key is the node's id. */
  nodeClass: 723_901_643,
  /** Class of connections that listen for notifications; the second key is 0. Shared: who counts the holders knows its peers. */
  listenerClass: 723_901_644,
} as const;
