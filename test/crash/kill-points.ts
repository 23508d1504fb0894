import { existsSync } from "node:fs";
import { until } from "@sandbox0/testkit";
import { type ModelPoint, STARTED_FILE } from "./model.ts";
import type { Passage, PostgresProxy } from "./postgres-proxy.ts";
import type { Stage } from "./stage.ts";

/** Where a run is killed. What is counted is counted from the arming on. */
export type KillPoint =
  | { kind: "statement"; nth: number; when: Passage["when"] }
  | { kind: "model"; nth: number; at: ModelPoint }
  /** A bash call that waits: it has been started, and has had its effect or not. */
  | { kind: "tool" };

export interface ArmedKill {
  /** Resolves with what was reached; from then on nothing more happens at this point. */
  readonly reached: Promise<string>;
  disarm(): void;
}

/** `commits`: statements that end in a commit. `all`: every statement about the session, reads included. */
export type Statements = "commits" | "all";

/** @param sessionId asks for the session that plays, once there is one */
export function armKill(
  stage: Stage,
  proxy: PostgresProxy,
  point: KillPoint,
  statements: Statements,
  sessionId: () => string | null,
): ArmedKill {
  switch (point.kind) {
    case "statement":
      return armStatement(proxy, point.nth, point.when, statements);
    case "model": {
      const gate = stage.model.stopAt(point.nth, point.at);
      const reached = gate.reached.then(() => `model request ${point.nth} ${point.at}`);
      return { reached, disarm: () => stage.model.answerAll() };
    }
    case "tool":
      return armTool(stage, sessionId);
  }
}

function armStatement(proxy: PostgresProxy, nth: number, when: Passage["when"], statements: Statements): ArmedKill {
  const reached = Promise.withResolvers<string>();
  let count = 0;
  let target: string | null = null;
  proxy.watcher = (passage) => {
    if (!isBoundary(passage, statements)) return "pass";
    if (passage.when === "before" && ++count === nth) target = passage.id;
    if (passage.id !== target || passage.when !== when) return "pass";
    proxy.watcher = null;
    reached.resolve(`${when} statement ${nth}: ${labelOf(passage)}`);
    return "freeze";
  };
  return {
    reached: reached.promise,
    disarm() {
      proxy.watcher = null;
    },
  };
}

function isBoundary(passage: Passage, statements: Statements): boolean {
  if (passage.sessionId === null) return false;
  if (statements === "all") return true;
  return passage.inTransaction ? passage.sql === "commit" : !passage.sql.startsWith("select");
}

/** What the statement does, as far as its text tells. */
function labelOf({ name, sql }: Passage): string {
  const parts = [...sql.matchAll(/\b(log|calls|started|finished|answered|admitted|taken|span|span_end) as \(/g)].map(
    ([, part]) => part,
  );
  return parts.length > 0 ? `write of ${parts.join(", ")}` : name || sql.slice(0, 40);
}

function armTool(stage: Stage, sessionId: () => string | null): ArmedKill {
  let isArmed = true;
  const started = until(
    async () => {
      if (!isArmed) return "disarmed";
      const id = sessionId();
      const path = id === null ? null : await stage.workspacePath(id, STARTED_FILE);
      return path !== null && existsSync(path) && "while the tool runs";
    },
    { describe: "a tool to run" },
  );
  return {
    reached: started.then((what) => (what === "disarmed" ? new Promise<string>(() => undefined) : what)),
    disarm() {
      isArmed = false;
    },
  };
}
