import pg from "pg";

/** Why no answer could be had. All of them pass: the same call may work a little later. */
export type UnavailableReason = "connection" | "overloaded" | "timeout" | "conflict" | "closed";

/**
 * The database could not be reached, is overloaded, or kept refusing a transaction for conflicts. `http` maps it to 503.
 * `outcomeUnknown`: the connection was lost after a statement was sent, so a commit may or may not have happened; read
 * before trying again.
 */
export class DatabaseUnavailable extends Error {
  readonly code = "database_unavailable";
  readonly retryable = true;
  readonly reason: UnavailableReason;
  readonly outcomeUnknown: boolean;
  constructor(reason: UnavailableReason, outcomeUnknown: boolean, cause?: unknown) {
    const detail = cause instanceof Error ? cause.message : cause === undefined ? "" : String(cause);
    super(`database unavailable (${reason})${detail === "" ? "" : `: ${detail}`}`, cause === undefined ? undefined : { cause });
    this.name = "DatabaseUnavailable";
    this.reason = reason;
    this.outcomeUnknown = outcomeUnknown;
  }
}

/** The SQLSTATE of an error that Postgres itself reported, else `undefined`. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

/** True for a unique violation, of this constraint or index when one is named. */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  if (!(error instanceof pg.DatabaseError) || error.code !== "23505") return false;
  return constraint === undefined || error.constraint === constraint;
}

/** Serialization failure and deadlock: Postgres rolled the transaction back and asks for it again. */
export function isConflict(error: unknown): boolean {
  const state = sqlState(error);
  return state === "40001" || state === "40P01";
}

/** SQLSTATEs that say nothing about the statement: the server goes away, has no room, or ran out of patience. */
const STATES: ReadonlyMap<string, UnavailableReason> = new Map([
  ["57P01", "connection"], // admin_shutdown
  ["57P02", "connection"], // crash_shutdown
  ["57P03", "connection"], // cannot_connect_now
  ["57P05", "connection"], // idle_session_timeout
  ["25P03", "timeout"], // idle_in_transaction_session_timeout
  ["57014", "timeout"], // query_canceled, by statement_timeout
  ["55P03", "timeout"], // lock_not_available, by lock_timeout
  ["53300", "overloaded"], // too_many_connections
]);

/** `pg` has no type for a lost connection: these are the socket's codes, and the sentences it makes itself. */
const SOCKET_CODES = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ENOENT",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
]);
const LOST = /^(Connection terminated|Client has encountered a connection error|Client was closed|timeout expired)/;

/**
 * Turns a lost connection or an overloaded server, as `pg` throws it, into {@link DatabaseUnavailable}; anything else comes
 * back as it was. `maybeDone`: the statement may have been carried out all the same.
 */
export function translateError(error: unknown, maybeDone: boolean): unknown {
  if (error instanceof pg.DatabaseError) {
    const reason = STATES.get(error.code ?? "") ?? (error.code?.startsWith("08") ? "connection" : undefined);
    return reason === undefined ? error : new DatabaseUnavailable(reason, maybeDone, error);
  }
  if (!(error instanceof Error)) return error;
  const code = "code" in error ? error.code : undefined;
  const lost = (typeof code === "string" && SOCKET_CODES.has(code)) || LOST.test(error.message);
  return lost ? new DatabaseUnavailable("connection", maybeDone, error) : error;
}
