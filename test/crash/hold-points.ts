import { existsSync } from "node:fs";
import { until } from "@sandbox0/testkit";
import { type ModelPoint, STARTED_FILE } from "./model.ts";
import type { Passage, PostgresProxy, Watcher } from "./postgres-proxy.ts";
import type { Stage } from "./stage.ts";

/** Where a session is held until the blow falls. What is counted is counted from the arming on. */
export type HoldPoint =
  /**
   * The nth of the statements that share the same: a statement more or less, such as a read of something that was kept or
   * not, shifts the number of those behind it and must not make another kind of hold of them.
   */
  | { kind: "statement"; nth: number; shares: Sharing; when: Passage["when"]; which: Statements }
  | { kind: "model"; nth: number; at: ModelPoint }
  /** In a bash call that waits: it has been started, and has had its effect or not. */
  | { kind: "tool" };

/** `commits`: statements that end in a commit. `all`: every statement about a session, reads included. */
export type Statements = "commits" | "all";

/** The session that is watched, as far as it is known. */
export interface Watched {
  readonly tag: string;
  sessionId: string | null;
}

export interface Hold {
  /** Resolves with what was reached; from then on the session does not get on. */
  readonly reached: Promise<string>;
  /** Its statement is under way: what it commits may be seen before its answer has come by, and it is still reached. */
  isComing(): boolean;
  release(): void;
}

export function holdAt(stage: Stage, proxy: PostgresProxy, watched: Watched, point: HoldPoint): Hold {
  switch (point.kind) {
    case "statement":
      return holdStatement(proxy, watched, point);
    case "model": {
      const gate = stage.model.stopAt(watched.tag, point.nth, point.at);
      const reached = gate.reached.then(() => `model request ${point.nth}, ${point.at}`);
      return { reached, isComing: () => false, release: () => stage.model.letGoOn(watched.tag) };
    }
    case "tool":
      return holdTool(stage, watched);
  }
}

function holdStatement(proxy: PostgresProxy, watched: Watched, point: HoldPoint & { kind: "statement" }): Hold {
  const reached = Promise.withResolvers<string>();
  let target: string | null = null;
  let count = 0;
  const { watch, stop } = watchStatements(proxy, watched, point.which);
  watch((passage) => {
    if (passage.when === "before" && sharingOf(passage) === point.shares && ++count === point.nth) target = passage.id;
    if (passage.id !== target || passage.when !== point.when) return "pass";
    reached.resolve(`${point.when} statement ${point.nth} that shares ${point.shares}, ${labelOf(passage)}`);
    return "hold";
  });
  return { reached: reached.promise, isComing: () => target !== null, release: stop };
}

/** A statement of a run that was not disturbed. */
export interface Seen {
  label: string;
  isCommit: boolean;
  shares: Sharing;
}

/**
 * What other sessions need as well: a group commit (store/group-commit) or a connection of short reads
 * (store/shared-reads). A server has two of each; it does not get on while both are held.
 */
export type Sharing = "commits" | "reads" | "nothing";

/** Lists the statements about a session. @returns what there was, when asked to stop */
export function listStatements(proxy: PostgresProxy, watched: Watched, statements: Statements): () => Seen[] {
  const seen: Seen[] = [];
  const { watch, stop } = watchStatements(proxy, watched, statements);
  watch((passage) => {
    if (passage.when === "before")
      seen.push({ label: labelOf(passage), shares: sharingOf(passage), isCommit: isCommit(passage) });
    return "pass";
  });
  return () => {
    stop();
    // What follows the last commit is a bell that rang for nothing; it may ring or not.
    return seen.slice(0, seen.findLastIndex((statement) => statement.isCommit) + 1);
  };
}

function watchStatements(proxy: PostgresProxy, watched: Watched, statements: Statements) {
  let created: string | null = null;
  const isMine = (passage: Passage): boolean => {
    if (passage.sessionId === null) return false;
    // A session that is being created is known by its title.
    if (watched.sessionId === null && passage.params.includes(watched.tag)) created = passage.sessionId;
    return passage.sessionId === (watched.sessionId ?? created);
  };
  /** Transactions that keep a session's files, some time behind its turn: no part of what the client did. */
  const keeping = new WeakSet<object>();
  const isKeepers = ({ name, transaction }: Passage): boolean => {
    if (transaction !== null && name === "set_checkpoint") keeping.add(transaction);
    return ["begin_checkpoint", "set_kept"].includes(name) || (transaction !== null && keeping.has(transaction));
  };
  let watcher: Watcher = () => "pass";
  return {
    watch(look: Watcher) {
      watcher = (passage) => (isMine(passage) && !isKeepers(passage) && isBoundary(passage, statements) ? look(passage) : "pass");
      proxy.watchers.add(watcher);
    },
    stop: () => void proxy.watchers.delete(watcher),
  };
}

function sharingOf({ transaction, sql }: Passage): Sharing {
  if (transaction !== null) return transaction.isGroup ? "commits" : "nothing";
  if (sql.startsWith("with head as")) return "commits";
  return sql.startsWith("select") ? "reads" : "nothing";
}

function isBoundary(passage: Passage, statements: Statements): boolean {
  return statements === "all" || isCommit(passage);
}

/** By itself or at the end of a transaction that has written something: an attempt to claim may find nothing to do. */
function isCommit(passage: Passage): boolean {
  if (passage.transaction === null) return !passage.sql.startsWith("select");
  return passage.sql === "commit" && passage.transaction.wrote;
}

/** What the statement does, as far as its text tells. */
function labelOf({ name, sql }: Passage): string {
  const parts = [...sql.matchAll(/\b(log|calls|started|finished|answered|admitted|taken|span|span_end) as \(/g)];
  return parts.length > 0 ? `write of ${parts.map(([, part]) => part).join(", ")}` : name || sql.slice(0, 40);
}

function holdTool(stage: Stage, watched: Watched): Hold {
  let isReleased = false;
  const started = until(
    async () => {
      if (isReleased) return true;
      const path = watched.sessionId === null ? null : await stage.workspacePath(watched.sessionId, STARTED_FILE);
      return path !== null && existsSync(path);
    },
    { describe: "a tool to run" },
  );
  // Whoever waits for it hears of it.
  started.catch(() => undefined);
  return {
    reached: started.then(() => "while the tool runs"),
    isComing: () => false,
    release() {
      isReleased = true;
    },
  };
}
